/**
 * Bundles what browsers get: the page, `/client.js` and `/deepsoc.js`, from src/web into dist/web. `npm run build:web`, and by itself
 * at the start of a clone whose bundle is older than its sources.
 */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build, context, type Plugin } from 'esbuild'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const SOURCES = join(ROOT, 'src/web')
const BUNDLE = join(ROOT, 'dist/web')

/** What is bundled or copied, by format: name in dist/web, without its extension, and entry in src/web. */
const ENTRIES = {
  esm: [
    ['client', 'client/index.ts'],
    ['page', 'page/main.ts'],
    ['page', 'page/css/index.css'],
    ['index', 'page/index.html'],
  ],
  // A classic script, whose names must not become variables of the page.
  iife: [['deepsoc', 'deepsoc/index.ts']],
} as const

type Format = keyof typeof ENTRIES

const FORMATS = Object.keys(ENTRIES) as Format[]

const bundleInto = (outdir: string, format: Format): BuildOptions => ({
  entryPoints: ENTRIES[format].map(([out, entry]) => ({ out, in: join(SOURCES, entry) })),
  outdir,
  absWorkingDir: ROOT,
  bundle: true,
  loader: { '.html': 'copy' },
  format,
  minify: true,
  target: ['chrome109', 'firefox115', 'safari16'],
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'silent',
})

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
    for (const format of FORMATS) await build(bundleInto(made, format))
    replace(made)
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
}

/**
 * Keeps dist/web up to date with its sources until the process ends. Each build and its errors are reported on stderr; after
 * a failed build the last good bundle stays.
 *
 * @param onBuild called after each build, with false while any bundle fails
 */
export const watchWeb = async (onBuild: (isGood: boolean) => void): Promise<void> => {
  const broken = new Set<Format>()
  const write = (format: Format): Plugin => ({
    name: 'write',
    setup: ({ onEnd }) =>
      onEnd(({ errors, outputFiles }) => {
        if (errors.length > 0) broken.add(format)
        else {
          broken.delete(format)
          for (const { path, contents } of outputFiles!) writeFileSync(path, contents)
        }
        onBuild(broken.size === 0)
      }),
  })
  mkdirSync(BUNDLE, { recursive: true })
  // esbuild itself would delete the bundle after a failed build.
  for (const format of FORMATS) {
    const plugins = [write(format)]
    const watched = await context({ ...bundleInto(BUNDLE, format), write: false, plugins, logLevel: 'info' })
    await watched.watch()
  }
}

const replace = (made: string): void => {
  mkdirSync(BUNDLE, { recursive: true })
  for (const file of readdirSync(made)) renameSync(join(made, file), join(BUNDLE, file))
}

if (import.meta.main) await buildWeb()
