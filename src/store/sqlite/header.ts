import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'

/** "DSGW" in the file header: identifies a database of this application. */
export const APPLICATION_ID = 0x44534757
/** "DSGB": a backup that no gateway has started on yet. */
export const BACKUP_APPLICATION_ID = 0x44534742
/** "DSGT": the target of a copy that has not finished. */
export const UNFINISHED_APPLICATION_ID = 0x44534754
/** "DSGM": a store that was moved to another database. */
export const MOVED_APPLICATION_ID = 0x4453474d

/** Fields of the first page of an SQLite file. */
export interface DatabaseHeader {
  readonly magic: boolean
  readonly userVersion: number
  readonly applicationId: number
  readonly empty: boolean
}

/**
 * Reads the header without SQLite, which would create files next to a database that is not ours.
 *
 * @returns null if the file is missing or empty
 */
export const readHeader = (file: string): DatabaseHeader | null => {
  if (!existsSync(file) || statSync(file).size === 0) return null
  const bytes = Buffer.alloc(108)
  const fd = openSync(file, 'r')
  try {
    readSync(fd, bytes, 0, 108, 0)
  } finally {
    closeSync(fd)
  }
  return {
    magic: bytes.toString('latin1', 0, 16) === 'SQLite format 3\0',
    userVersion: bytes.readUInt32BE(60),
    applicationId: bytes.readUInt32BE(68),
    // The first page is the root of sqlite_schema: the database is empty if it is a leaf (13) without cells and there is no WAL.
    empty: bytes[100] === 13 && bytes.readUInt16BE(103) === 0 && !existsSync(`${file}-wal`),
  }
}
