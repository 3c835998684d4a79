import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Maximum symbolic links in a row, as in Linux. */
const MAX_LINKS = 40

/**
 * Returns the path of the file that a symbolic link leads to, even if that file does not exist yet, and any other path as it is. SQLite
 * follows the link, so the WAL is not beside the link but beside that file.
 */
export const resolveLink = (file: string, maxLinks = MAX_LINKS): string => {
  try {
    if (maxLinks === 0 || !lstatSync(file).isSymbolicLink()) return file
    if (existsSync(file)) return realpathSync(file)
    return resolveLink(resolve(realpathSync(dirname(file)), readlinkSync(file)), maxLinks - 1)
  } catch {
    return file
  }
}

/**
 * Creates an empty file that only its owner can access. SQLite opens it, and gives the files beside it the same permissions.
 *
 * @returns false if that name is taken
 */
export const createPrivateFile = (file: string): boolean => {
  try {
    closeSync(openSync(file, 'wx', 0o600))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Writes a file or folder to disk. @returns its size in bytes */
export const syncPath = (path: string): number => {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  return statSync(path).size
}

/**
 * Gives a finished draft its final name, durably. The draft can remain as a second name of the same file.
 *
 * @returns false if that name is taken; nothing is overwritten
 */
export const publishDraft = (draft: string, to: string): boolean => {
  try {
    // A rename would overwrite a file created in the meantime.
    linkSync(draft, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || existsSync(to)) return false
    // The file system does not support hard links.
    renameSync(draft, to)
  }
  syncPath(dirname(to))
  return true
}
