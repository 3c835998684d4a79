import { errorChainText } from '../core/error-text.ts'
import { DISTRIBUTION, readAsset } from '../platform/assets.ts'
import { version } from '../platform/version.ts'

/** What build/binary.ts knows of the executable that it makes. */
export interface BuildInfo {
  /** The commit of the sources, or `unknown`. */
  readonly commit: string
  /** The packages that went in, of those that package.json names, with their versions. */
  readonly packages: Readonly<Record<string, string>>
}

/** The version of SQLite as it says itself; or why it cannot be loaded, which `--version` must survive. */
const sqliteVersion = async (): Promise<string> => {
  try {
    return (await import('../store/sqlite/file.ts')).sqliteVersion()
  } catch (error) {
    return `cannot be loaded: ${errorChainText(error)}`
  }
}

/** What `--version` prints: the version alone on the first line; of the single executable also what is inside it. */
export const versionText = async (): Promise<string> => {
  if (DISTRIBUTION !== 'executable') return `${version()}\n`
  const { commit, packages } = JSON.parse(readAsset('build.json').toString()) as BuildInfo
  const { node, v8, openssl, uv, zlib } = process.versions
  const inside = {
    commit,
    platform: `${process.platform}-${process.arch}`,
    node,
    v8,
    sqlite: await sqliteVersion(),
    openssl,
    uv,
    zlib,
    ...packages,
  }
  const width = Math.max(...Object.keys(inside).map((name) => name.length))
  const lines = Object.entries(inside).map(([name, text]) => `${name.padEnd(width)}  ${text}`)
  return `${[version(), ...lines].join('\n')}\n`
}
