import { existsSync, readFileSync } from 'node:fs'
import { getAsset, isSea } from 'node:sea'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

/**
 * How the gateway is distributed, which determines where its own files are:
 * - `sources`: runs from `src/*.ts`.
 * - `package`: the built package, with `dist/*.js` in one directory.
 * - `executable`: the single executable, which contains the files as assets.
 */
export type Distribution = 'sources' | 'package' | 'executable'

export const DISTRIBUTION: Distribution = isSea()
  ? 'executable'
  : import.meta.url.endsWith('.ts')
    ? 'sources'
    : 'package'

/** Directory of package.json: two levels above the sources, one above the built files. Not used in the executable. */
const ROOT = new URL(DISTRIBUTION === 'sources' ? '../../' : '../', import.meta.url)

/**
 * Reads one file by its path relative to package.json: `schema.sql`, `dist/web/page.js`.
 *
 * @throws the error of the file system, or Node's error for a missing asset
 */
export const readAsset = (name: string): Buffer =>
  DISTRIBUTION === 'executable' ? Buffer.from(getAsset(name)) : readFileSync(new URL(name, ROOT))

/** Returns the path of a file that only a clone of the repository has; null elsewhere. */
export const repositoryFile = (name: string): string | null => {
  if (DISTRIBUTION !== 'sources') return null
  const file = fileURLToPath(new URL(name, ROOT))
  return existsSync(file) ? file : null
}

/** Worker threads that have a bundle of their own, by its name. */
export type ThreadName = 'search-index-thread' | 'sqlite-writer-thread'

/** Starts a worker thread of the gateway. @param source its file, if the gateway runs from the sources */
export const startWorkerThread = (name: ThreadName, source: URL, workerData: unknown): Worker => {
  if (DISTRIBUTION === 'executable') return new Worker(getAsset(`${name}.js`, 'utf8'), { eval: true, workerData })
  return new Worker(DISTRIBUTION === 'sources' ? source : new URL(`./${name}.js`, import.meta.url), { workerData })
}
