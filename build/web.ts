/**
 * Bundles what browsers get: the page and `/client.js`, from src/web into dist/web. `npm run build:web`, and by itself
 * at the start of a clone whose bundle is older than its sources.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const SOURCES = join(ROOT, 'src/web')
const BUNDLE = join(ROOT, 'dist/web')

/** What is bundled: name in dist/web, without its extension, and entry in src/web. */
const ENTRIES = [
  ['client', 'client/index.ts'],
  ['page', 'page/main.ts'],
  ['page', 'page/css/index.css'],
] as const
/** What is copied as it is. */
const COPIES = { 'index.html': 'page/index.html' }

const newest = (folder: string): number =>
  Math.max(
    ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => statSync(join(folder, name)).mtimeMs),
  )

/** Whether dist/web is there and no source is newer than it. */
export const isFresh = (): boolean => {
  const bundled = statSync(join(BUNDLE, 'page.js'), { throwIfNoEntry: false })
  return bundled !== undefined && bundled.mtimeMs > Math.max(newest(SOURCES), statSync(import.meta.filename).mtimeMs)
}

/**
 * Writes dist/web whole: into a folder beside it first, since several processes may start at once.
 * @throws what esbuild says of the sources.
 */
export const buildWeb = async (): Promise<void> => {
  const made = mkdtempSync(join(ROOT, 'dist-web-'))
  try {
    await build({
      entryPoints: ENTRIES.map(([out, entry]) => ({ out, in: join(SOURCES, entry) })),
      outdir: made,
      bundle: true,
      format: 'esm',
      minify: true,
      target: ['chrome109', 'firefox115', 'safari16'],
      charset: 'utf8',
      legalComments: 'none',
      logLevel: 'silent',
    })
    for (const [out, from] of Object.entries(COPIES)) cpSync(join(SOURCES, from), join(made, out))
    replace(made)
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
}

const replace = (made: string): void => {
  mkdirSync(BUNDLE, { recursive: true })
  for (const file of readdirSync(made)) renameSync(join(made, file), join(BUNDLE, file))
}

if (import.meta.main) await buildWeb()
