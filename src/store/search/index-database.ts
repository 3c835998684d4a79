import { existsSync, rmSync, statSync } from 'node:fs'
import Database from 'better-sqlite3'
import { createPrivateFile } from '../sqlite/durable-file.ts'
import { isCorrupt } from '../sqlite/errors.ts'

/** Version of the tables and of what core/search-text.ts puts into them: an index of another version is rebuilt. */
const VERSION = 1
/** Lock timeout in milliseconds: another worker holds the lock for one batch. */
const BUSY_TIMEOUT_MS = 100
/** Lock timeout at opening, while another worker creates the tables, in milliseconds. */
const OPEN_TIMEOUT_MS = 5_000

const TOKEN_CHARACTERS = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'.replaceAll("'", "''").replaceAll('"', '""')

/** The grams are separated by spaces, at which alone the tokenizer splits. Nothing but row ids is stored (`content=''`, `detail=none`). */
const TABLES = `
DROP TABLE IF EXISTS gram;
DROP TABLE IF EXISTS span;
DROP TABLE IF EXISTS state;
CREATE VIRTUAL TABLE gram USING fts5(
  grams, content='', contentless_delete=1, detail='none', tokenize="ascii tokenchars '${TOKEN_CHARACTERS}'"
);
INSERT INTO gram (gram, rank) VALUES ('hashsize', 8388608);
CREATE TABLE span (span INTEGER PRIMARY KEY, min_at INTEGER NOT NULL, max_at INTEGER NOT NULL);
CREATE TABLE state (log_id TEXT NOT NULL, cursor INTEGER NOT NULL, messages INTEGER NOT NULL);`

const SUFFIXES = ['', '-wal', '-shm'] as const

/** Returns the path of the index of a database. */
export const getIndexFile = (databaseFile: string): string => `${databaseFile}.search`

/** Returns the size of an index in bytes. */
export const indexBytes = (file: string): number =>
  SUFFIXES.reduce((sum, suffix) => sum + (statSync(file + suffix, { throwIfNoEntry: false })?.size ?? 0), 0)

export const removeIndex = (file: string): void => {
  for (const suffix of SUFFIXES) rmSync(file + suffix, { force: true })
}

/** Empties an index, so that it is rebuilt for a store. Runs in the caller's transaction. */
export const resetIndex = (db: Database.Database, identity: string): void => {
  db.exec(TABLES)
  db.pragma(`user_version = ${VERSION}`)
  db.prepare('INSERT INTO state VALUES (?, 0, 0)').run(identity)
}

const open = (file: string): Database.Database => {
  // SQLite would apply the WAL of a deleted index to the new one.
  if (!existsSync(file)) removeIndex(file)
  createPrivateFile(file)
  const db = new Database(file, { timeout: OPEN_TIMEOUT_MS })
  try {
    db.pragma('journal_mode = WAL')
    // A power failure can undo the last batches, together with the cursor: they are indexed again.
    db.pragma('synchronous = NORMAL')
    db.pragma('journal_size_limit = 16777216')
    const isCurrent = () => db.pragma('user_version', { simple: true }) === VERSION
    if (!isCurrent()) db.transaction(() => isCurrent() || resetIndex(db, '')).immediate()
    db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Opens an index, and creates it if it is missing, damaged or of another version. @throws an error of SQLite */
export const openIndex = (file: string): Database.Database => {
  try {
    return open(file)
  } catch (error) {
    if (!isCorrupt(error)) throw error
    removeIndex(file)
    return open(file)
  }
}
