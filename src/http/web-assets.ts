import { pathToFileURL } from 'node:url'
import { DISTRIBUTION, readAsset, repositoryFile } from '../platform/assets.ts'

/** The names of the bundled files that browsers get. */
export type WebAsset = 'index.html' | 'page.js' | 'page.css' | 'client.js'

/** What build/web.ts exports; it is no part of an installed package, so nothing here may import it by name. */
interface Builder {
  isFresh(): boolean
  buildWeb(): Promise<void>
}

/**
 * In a clone, bundles the page where its sources are newer than the bundle, so that no separate step can be forgotten.
 * Elsewhere the bundle came with the package, or lies in the executable.
 * @throws what the bundler says of the sources.
 */
export const ensureWebBundle = async (): Promise<void> => {
  const builder = repositoryFile('build/web.ts')
  if (builder === null) return
  const { isFresh, buildWeb } = (await import(pathToFileURL(builder).href)) as Builder
  if (!isFresh()) await buildWeb()
}

const readWebAsset = (name: WebAsset): Buffer => readAsset(`dist/web/${name}`)

/**
 * Reads one file of the bundle. In a clone each call of the result reads it again, because `npm run dev` replaces the
 * bundle while the gateway runs.
 *
 * @returns the content at the time of the call
 * @throws the file system's error if the file does not exist
 */
export const openWebAsset = (name: WebAsset): (() => Buffer) => {
  const content = readWebAsset(name)
  return DISTRIBUTION === 'sources' ? () => readWebAsset(name) : () => content
}
