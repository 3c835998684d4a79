import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import { readAsset } from './assets.ts'
import { readEnvLayers } from './env.ts'

/**
 * Used only in the single executable, instead of better-sqlite3's own search for its native module (build/binary.ts): the module is an
 * asset, and the operating system loads modules only from files.
 */
const ASSET = 'better_sqlite3.node'

/** Returns whether only this user and root can change a file, or the entries of a folder. */
const isPrivate = ({ uid, mode }: Stats): boolean => (uid === 0 || uid === process.getuid!()) && (mode & 0o022) === 0

/** Creates a directory in which no other user can replace the module. @throws Error if an existing one is shared */
const createPrivateDirectory = (folder: string, readStat: typeof statSync): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stat = readStat(folder)!
  if (!stat.isDirectory() || !isPrivate(stat)) throw new Error('other users can write to that folder')
}

/** Opens the file if it has this content and only this user and root can change it. @returns its descriptor, otherwise null */
const openModule = (file: string, bytes: Buffer): number | null => {
  let fd: number | null = null
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW)
    if (isPrivate(fstatSync(fd)) && readFileSync(fd).equals(bytes)) return fd
  } catch {
    // It is written again, which reports the reason if that fails too.
  }
  if (fd !== null) closeSync(fd)
  return null
}

const writeModule = (file: string, bytes: Buffer): void => {
  const temporary = `${file}.${process.pid}`
  try {
    rmSync(temporary, { force: true })
    writeFileSync(temporary, bytes, { mode: 0o755, flag: 'wx' })
    renameSync(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/**
 * Loads the module from a file in the folder, and writes that file if it is missing. Its name contains a hash, so that versions coexist.
 * All threads of a process use the same file, since two copies of SQLite in one process would release each other's locks on the database.
 */
const loadFrom = (folder: string): unknown => {
  const bytes = readAsset(ASSET)
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const file = join(folder, `better_sqlite3-${hash}.node`)
  let fd = openModule(file, bytes)
  if (fd === null) {
    writeModule(file, bytes)
    fd = openModule(file, bytes)
  }
  if (fd === null) throw new Error(`${file} was changed while it was written`)
  try {
    const module = { exports: {} }
    // By its descriptor: the name could lead to another file by now.
    process.dlopen(module, `/proc/self/fd/${fd}`)
    return module.exports
  } finally {
    closeSync(fd)
  }
}

let loaded: unknown

/**
 * Returns better-sqlite3's native module; better-sqlite3 imports this function by its name. @throws GatewayError native_module_load_failed
 */
export const getBinding = (): unknown => {
  if (loaded !== undefined) return loaded
  const { processEnv, dotEnv } = readEnvLayers()
  const configured = processEnv.NATIVE_MODULE_DIR ?? dotEnv.NATIVE_MODULE_DIR
  const folder = configured ? resolve(configured) : join(tmpdir(), `deepsoc-gateway-${process.getuid!()}`)
  try {
    // Any user can create a link in the temporary folder. The cache directory of systemd's dynamic users is one.
    createPrivateDirectory(folder, configured ? statSync : lstatSync)
    loaded = loadFrom(folder)
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
