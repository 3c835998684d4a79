import { pathToFileURL } from 'node:url'
import { readAsset, repositoryFile } from '../platform/assets.ts'

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

/** One file of the bundle. @throws the file system's error where the bundle is not there. */
export const readWebAsset = (name: WebAsset): Buffer => readAsset(`dist/web/${name}`)
