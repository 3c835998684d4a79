/**
 * Makes what the npm package holds beside documents: JavaScript in dist/ (Node does not strip types below node_modules),
 * its declarations in dist/types, the man page, and what browsers get in dist/web. `npm run build:package`, then `npm pack`.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { renderManPage } from '../src/cli/help/man-page.ts'
import { COMMAND_TABLE } from '../src/cli/help/table.ts'
import { version } from '../src/platform/version.ts'
import { buildWeb } from './web.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const DIST = join(ROOT, 'dist')

/** name in dist/ → entry in src/. All lie in one folder, as src/platform/assets.ts expects. */
const ENTRIES = {
  cli: 'cli.ts',
  index: 'index.ts',
  publisher: 'publisher/index.ts',
  'search-index-thread': 'store/search/index-thread.ts',
  'sqlite-writer-thread': 'store/sqlite/writer-thread.ts',
}
/** What others import, and so needs declarations. */
const TYPED = ['index.ts', 'publisher/index.ts', 'web/client/index.ts']

/** The packages that are dependencies stay imports; what several entries share becomes files of its own. */
const bundle = async (outdir: string): Promise<void> => {
  await build({
    entryPoints: Object.entries(ENTRIES).map(([out, entry]) => ({ out, in: join(ROOT, 'src', entry) })),
    outdir,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node22',
    chunkNames: 'chunk-[hash]',
    charset: 'utf8',
    logLevel: 'warning',
  })
}

/** Declarations of all that the typed entries take in. @throws what tsc says */
const declare = (outDir: string, work: string): void => {
  const config = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      rewriteRelativeImportExtensions: true,
      rootDir: join(ROOT, 'src'),
      outDir,
    },
    include: [],
    files: TYPED.map((entry) => join(ROOT, 'src', entry)),
  }
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config))
  execFileSync(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', work], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

/** The declarations that can be reached from the typed entries: those of the server’s insides stay behind. */
const reachable = (folder: string): Set<string> => {
  const found = new Set<string>()
  const walk = (file: string): void => {
    if (found.has(file)) return
    found.add(file)
    for (const [, target] of readFileSync(join(folder, file), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
      walk(join(dirname(file), target!.replace(/\.[jt]s$/, '.d.ts')))
    }
  }
  for (const entry of TYPED) walk(entry.replace(/\.ts$/, '.d.ts'))
  return found
}

/** Rebuilds dist/ except for an executable in it. @throws what the bundler or tsc says */
export const buildPackage = async (): Promise<void> => {
  mkdirSync(DIST, { recursive: true })
  const work = mkdtempSync(join(DIST, 'package-'))
  try {
    await Promise.all([bundle(join(work, 'js')), buildWeb()])
    const all = join(work, 'all-types')
    declare(all, work)
    const types = join(work, 'types')
    for (const file of reachable(all)) {
      mkdirSync(dirname(join(types, file)), { recursive: true })
      // tsc leaves the names of the sources in declarations; what is there is .js with .d.ts beside it.
      const text = readFileSync(join(all, file), 'utf8').replace(/(['"]\.[^'"]+)\.ts(['"])/g, '$1.js$2')
      writeFileSync(join(types, file), text)
    }
    chmodSync(join(work, 'js', 'cli.js'), 0o755)
    writeFileSync(join(DIST, 'deepsoc-gateway.1'), await renderManPage(COMMAND_TABLE, version()))
    for (const old of readdirSync(DIST)) {
      if (old === 'types' || old.endsWith('.js')) rmSync(join(DIST, old), { recursive: true })
    }
    renameSync(types, join(DIST, 'types'))
    for (const file of readdirSync(join(work, 'js'))) renameSync(join(work, 'js', file), join(DIST, file))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  await buildPackage()
  process.stdout.write(`${relative(process.cwd(), DIST) || '.'} is ready for npm pack\n`)
}
