import { errorChainText } from '../core/error-text.ts'
import { DISTRIBUTION, readAsset } from '../platform/assets.ts'
import { version } from '../platform/version.ts'

/** Build metadata that build/binary.ts embeds into the executable. */
export interface BuildInfo {
  /** The commit of the sources, or `unknown`. */
  readonly commit: string
  /** Versions of the bundled packages of package.json. */
  readonly packages: Readonly<Record<string, string>>
}

/** Returns the version of SQLite, or the reason if it cannot be loaded: `--version` must not fail. */
const sqliteVersion = async (): Promise<string> => {
  try {
    return (await import('../store/sqlite/file.ts')).sqliteVersion()
  } catch (error) {
    return `cannot be loaded: ${errorChainText(error)}`
  }
}

/** Returns the output of `--version`: the version on the first line, then the components of the single executable. */
export const versionText = async (): Promise<string> => {
  if (DISTRIBUTION !== 'executable') return `${version()}\n`
  const { commit, packages } = JSON.parse(readAsset('build.json').toString()) as BuildInfo
  const { node, v8, openssl, uv, zlib } = process.versions
  const components = {
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
  const width = Math.max(...Object.keys(components).map((name) => name.length))
  const lines = Object.entries(components).map(([name, text]) => `${name.padEnd(width)}  ${text}`)
  return `${[version(), ...lines].join('\n')}\n`
}
