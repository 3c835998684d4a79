/**
 * Makes dist/deepsoc-gateway: Node, the gateway in one CommonJS file and all that it carries along, as one executable
 * of Linux. `npm run build`.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Metafile, type Plugin } from 'esbuild'
import type { BuildInfo } from '../src/cli/version.ts'
import { buildWeb, isFresh } from './web.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const EXECUTABLE = join(ROOT, 'dist', 'deepsoc-gateway')

/** Where Node looks for what was put into it; the marker is Node's own. */
const RESOURCE = 'NODE_SEA_BLOB'
const SENTINEL = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

const require = createRequire(import.meta.url)

/** better-sqlite3 looks for its native module beside itself; in the executable src/platform/native-module.ts has it. */
const nativeModule: Plugin = {
  name: 'native-module',
  setup: (bundler) => {
    bundler.onResolve({ filter: /^\.\/binding$/ }, ({ importer }) =>
      /[\\/]better-sqlite3[\\/]lib[\\/]/.test(importer)
        ? { path: join(ROOT, 'src/platform/native-module.ts') }
        : undefined,
    )
  },
}

/** Bundles an entry into one CommonJS file. @returns what went in. @throws what esbuild says of the sources */
const bundle = async (entry: string, outfile: string): Promise<Metafile> => {
  const { metafile } = await build({
    entryPoints: [join(ROOT, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    // `pg` asks for it and goes on without.
    external: ['pg-native'],
    plugins: [nativeModule],
    // CommonJS has no import.meta.
    define: { 'import.meta.url': 'IMPORT_META_URL' },
    banner: { js: "const IMPORT_META_URL = require('node:url').pathToFileURL(process.execPath).href;" },
    legalComments: 'eof',
    charset: 'utf8',
    metafile: true,
    logLevel: 'warning',
  })
  return metafile
}

/** The commit of the sources: COMMIT where there is no repository, as in an image. */
const getCommit = (): string => {
  if (process.env.COMMIT) return process.env.COMMIT
  const git = (...args: string[]) => execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: 'pipe' })
  try {
    const dirty = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '-dirty'
    return git('rev-parse', '--short=12', 'HEAD').trim() + dirty
  } catch {
    return 'unknown'
  }
}

/** The Node that goes in: the pinned one of node_modules. */
const nodeFile = (): string => {
  if (process.platform !== 'linux') throw new Error('The executable is made on Linux, for Linux.')
  return require.resolve(`node-linux-${process.arch}/bin/node`)
}

/** Takes the symbols of Node away, an eighth of its size; where there is no binutils they stay. */
const strip = (file: string): void => {
  try {
    execFileSync('strip', ['--strip-unneeded', file], { stdio: 'pipe' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    process.stderr.write('binutils are missing: the executable keeps the symbols of Node and is some 15 MB larger.\n')
  }
}

/** Of the packages that package.json names: those of which a file went in. */
const packagesIn = ({ inputs }: Metafile): Record<string, string> => {
  const { dependencies } = require('../package.json') as { dependencies: Record<string, string> }
  const files = Object.keys(inputs)
  const isIn = (name: string) => files.some((file) => file.includes(`node_modules/${name}/`))
  return Object.fromEntries(Object.entries(dependencies).filter(([name]) => isIn(name)))
}

const collectAssets = (work: string, metafile: Metafile): Record<string, string> => {
  const web = join(ROOT, 'dist', 'web')
  const note: BuildInfo = { commit: getCommit(), packages: packagesIn(metafile) }
  writeFileSync(join(work, 'build.json'), JSON.stringify(note))
  return {
    'build.json': join(work, 'build.json'),
    'package.json': join(ROOT, 'package.json'),
    'schema.sql': join(ROOT, 'schema.sql'),
    'search-index-thread.js': join(work, 'search-thread.cjs'),
    'sqlite-writer-thread.js': join(work, 'thread.cjs'),
    'better_sqlite3.node': require
      .resolve(`better-sqlite3/package.json`)
      .replace('package.json', `prebuilds/linux-${process.arch}.node`),
    ...Object.fromEntries(readdirSync(web).map((name) => [`dist/web/${name}`, join(web, name)])),
  }
}

/**
 * Makes the executable, whole or not at all.
 *
 * @returns its path
 * @throws what the bundler or Node says
 */
export const buildBinary = async (): Promise<string> => {
  const node = nodeFile()
  mkdirSync(dirname(EXECUTABLE), { recursive: true })
  const work = mkdtempSync(join(ROOT, 'dist', 'binary-'))
  try {
    if (!isFresh()) await buildWeb()
    const [main] = await Promise.all([
      bundle('src/cli.ts', join(work, 'main.cjs')),
      bundle('src/store/sqlite/writer-thread.ts', join(work, 'thread.cjs')),
      bundle('src/store/search/index-thread.ts', join(work, 'search-thread.cjs')),
    ])
    const config = {
      main: join(work, 'main.cjs'),
      output: join(work, 'blob'),
      disableExperimentalSEAWarning: true,
      assets: collectAssets(work, main),
    }
    writeFileSync(join(work, 'sea.json'), JSON.stringify(config))
    execFileSync(node, ['--experimental-sea-config', join(work, 'sea.json')], { stdio: 'pipe' })
    const made = join(work, 'deepsoc-gateway')
    copyFileSync(node, made)
    chmodSync(made, 0o755)
    // Before the rest goes in: afterwards strip would take that away.
    strip(made)
    // A process of its own: its library prints warnings about names of sections that strip took away.
    const postject = require.resolve('postject/dist/cli.js')
    execFileSync(node, [postject, made, RESOURCE, join(work, 'blob'), '--sentinel-fuse', SENTINEL], { stdio: 'pipe' })
    renameSync(made, EXECUTABLE)
    return EXECUTABLE
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (import.meta.main) process.stdout.write(`${await buildBinary()}\n`)
