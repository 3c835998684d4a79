import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import { readAsset } from './assets.ts'
import { loadEnv } from './env.ts'

/**
 * Used only in the single executable, instead of better-sqlite3's own search for its native module (build/binary.ts): the module is an
 * asset, and the operating system loads modules only from files.
 */
const ASSET = 'better_sqlite3.node'

/** Creates a directory in which no other user can replace the module. */
const createPrivateDirectory = (folder: string, uid: number): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stat = lstatSync(folder)
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) {
    throw new Error('other users can write to that folder')
  }
}

const hasContent = (file: string, bytes: Buffer): boolean => {
  try {
    return readFileSync(file).equals(bytes)
  } catch {
    return false
  }
}

/**
 * Returns the file of the module, and writes it if it is missing. Its name contains a hash, so that versions coexist. All threads of a
 * process use the same file, since two copies of SQLite in one process would release each other's locks on the database.
 */
const extract = (folder: string): string => {
  const bytes = readAsset(ASSET)
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const file = join(folder, `better_sqlite3-${hash}.node`)
  if (hasContent(file, bytes)) return file
  const temporary = `${file}.${process.pid}`
  try {
    writeFileSync(temporary, bytes, { mode: 0o755 })
    renameSync(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
  return file
}

let loaded: unknown

/**
 * Returns better-sqlite3's native module; better-sqlite3 imports this function by its name. @throws GatewayError native_module_load_failed
 */
export const getBinding = (): unknown => {
  if (loaded !== undefined) return loaded
  const configured = loadEnv().NATIVE_MODULE_DIR
  const uid = process.getuid?.() ?? 0
  const folder = configured ? resolve(configured) : join(tmpdir(), `deepsoc-gateway-${uid}`)
  try {
    if (configured) mkdirSync(folder, { recursive: true })
    else createPrivateDirectory(folder, uid)
    const module = { exports: {} }
    process.dlopen(module, extract(folder))
    loaded = module.exports
    return loaded
  } catch (cause) {
    const reason = errorChainText(cause)
    throw new GatewayError(
      'native_module_load_failed',
      `The SQLite module cannot be loaded from ${folder}: ${reason}`,
      {
        cause,
      },
    )
  }
}
