import { pathToFileURL } from 'node:url'
import { DISTRIBUTION, readAsset, repositoryFile } from '../platform/assets.ts'

/** Names of the bundled files for browsers. */
export type WebAsset = 'index.html' | 'page.js' | 'page.css' | 'client.js' | 'deepsoc.js'

/** Exports of build/web.ts. It is not part of an installed package, so it must not be imported statically. */
interface Builder {
  isFresh(): boolean
  buildWeb(): Promise<void>
}

/**
 * In a clone, bundles the page if its sources are newer than the bundle, so that no manual step is needed. Otherwise
 * the bundle is part of the package or of the executable.
 *
 * @throws the bundler's error if the sources do not compile
 */
export const ensureWebBundle = async (): Promise<void> => {
  const builder = repositoryFile('build/web.ts')
  if (builder === null) return
  const { isFresh, buildWeb } = (await import(pathToFileURL(builder).href)) as Builder
  if (!isFresh()) await buildWeb()
}

const readWebAsset = (name: WebAsset): Buffer => readAsset(`dist/web/${name}`)

/**
 * Reads one file of the bundle. In a clone, each call of the result reads it again, because `npm run dev` replaces the
 * bundle while the gateway runs.
 *
 * @returns a function that returns the current content
 * @throws the file system's error if the file does not exist
 */
export const openWebAsset = (name: WebAsset): (() => Buffer) => {
  const content = readWebAsset(name)
  return DISTRIBUTION === 'sources' ? () => readWebAsset(name) : () => content
}
