import { existsSync, readFileSync } from 'node:fs'
import { getAsset, isSea } from 'node:sea'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

/**
 * Where the files that the gateway carries along come from. It runs in three forms: from its sources (`src/*.ts`), as
 * the built package (`dist/*.js`, all in one folder), and as the single executable, which holds them as assets.
 */
export type Distribution = 'sources' | 'package' | 'executable'

export const DISTRIBUTION: Distribution = isSea()
  ? 'executable'
  : import.meta.url.endsWith('.ts')
    ? 'sources'
    : 'package'

/** The folder of package.json: the sources lie two folders below it, the built files one. Not used in the executable. */
const ROOT = new URL(DISTRIBUTION === 'sources' ? '../../' : '../', import.meta.url)

/**
 * One file by its path from the folder of package.json: `schema.sql`, `dist/web/page.js`.
 *
 * @throws the file system's error, or Node's of the executable, where it is not there
 */
export const readAsset = (name: string): Buffer =>
  DISTRIBUTION === 'executable' ? Buffer.from(getAsset(name)) : readFileSync(new URL(name, ROOT))

/** A file that only a clone of the repository has; null elsewhere. */
export const repositoryFile = (name: string): string | null => {
  if (DISTRIBUTION !== 'sources') return null
  const file = fileURLToPath(new URL(name, ROOT))
  return existsSync(file) ? file : null
}

/** Threads that the built forms have as a bundle of their own, under this name. */
export type ThreadName = 'sqlite-writer-thread'

/** Starts a thread of the gateway. `source`: its file, where it runs from the sources. */
export const startWorkerThread = (name: ThreadName, source: URL, workerData: unknown): Worker => {
  if (DISTRIBUTION === 'executable') return new Worker(getAsset(`${name}.js`, 'utf8'), { eval: true, workerData })
  return new Worker(DISTRIBUTION === 'sources' ? source : new URL(`./${name}.js`, import.meta.url), { workerData })
}
