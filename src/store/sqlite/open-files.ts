import { rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type Database from 'better-sqlite3'
import { errorChainText } from '../../core/error-text.ts'
import { createPrivateFile, publishDraft, syncPath } from './durable-file.ts'

/** Bytes of the header of a WAL, and of that of each of its frames. */
const WAL_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

/** Files of a database in WAL mode, by the end of their name. */
const SUFFIXES = ['', '-wal', '-shm'] as const

export interface FileChange {
  readonly suffix: (typeof SUFFIXES)[number]
  readonly kind: 'removed' | 'replaced' | 'truncated'
}

/** Returns the identity of the file at a path, as text; null if no file is there. */
const fileIdentity = (file: string): string | null => {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`
}

/** Returns the identities of all files of a database, as one text. */
export const fileIdentities = (file: string): string =>
  SUFFIXES.map((suffix) => fileIdentity(`${file}${suffix}`)).join(' ')

const hasMode = (path: string, bits: number): boolean =>
  ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & bits) !== 0

/** Returns the files of a database to which other users have access, and their folder if they can list or change it; none where files have no permissions. */
export const sharedPaths = (file: string): string[] => {
  if (process.getuid === undefined) return []
  const [path, folder] = [resolve(file), dirname(resolve(file))]
  const files = SUFFIXES.map((suffix) => `${path}${suffix}`).filter((one) => hasMode(one, 0o077))
  return hasMode(folder, 0o066) ? [folder, ...files] : files
}

/**
 * The files of an open database. SQLite writes into files that were removed or replaced, and beyond the end of a truncated
 * WAL, without an error; everything since the last checkpoint is then lost when the process ends.
 */
export class OpenFiles {
  readonly #file: string
  readonly #identities: readonly (string | null)[]
  readonly #walFrames: Database.Statement
  readonly #frameBytes: number

  /** @param db a connection to the file that has been used, so that the WAL exists */
  constructor(file: string, db: Database.Database) {
    this.#file = file
    // NOOP only reports; it exists since SQLite 3.51.
    this.#walFrames = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw()
    this.#walFrames.get()
    this.#frameBytes = FRAME_HEADER_BYTES + (db.pragma('page_size', { simple: true }) as number)
    this.#identities = SUFFIXES.map((suffix) => fileIdentity(`${file}${suffix}`))
  }

  /** Returns the first file that has been removed, replaced or truncated since the database was opened; null if none has. */
  findChange(): FileChange | null {
    for (const [index, suffix] of SUFFIXES.entries()) {
      const identity = fileIdentity(`${this.#file}${suffix}`)
      if (identity !== this.#identities[index]) return { suffix, kind: identity === null ? 'removed' : 'replaced' }
    }
    // Twice, since another process can checkpoint and truncate the WAL in order between the two looks of one attempt.
    return this.#isWalTruncated() && this.#isWalTruncated() ? { suffix: '-wal', kind: 'truncated' } : null
  }

  #isWalTruncated(): boolean {
    const [, frames] = this.#walFrames.get() as [busy: number, frames: number, checkpointed: number]
    if (frames <= 0) return false
    const size = statSync(`${this.#file}-wal`, { throwIfNoEntry: false })?.size ?? 0
    return size < WAL_HEADER_BYTES + frames * this.#frameBytes
  }
}

/** Result of saving what is committed. */
interface Saved {
  /** False if another attempt can save more. */
  readonly complete: boolean
  /** A sentence for the operator. */
  readonly report: string
}

/** Saves what is committed in files that were removed or replaced, through the connection that still has them open. Never throws. */
export const saveCommitted = (file: string, db: Database.Database, { suffix, kind }: FileChange): Saved => {
  if (kind === 'truncated') {
    return {
      complete: true,
      report: 'Messages committed since the last checkpoint are lost, unless a backup has them.',
    }
  }
  try {
    return suffix === '' ? copyDatabase(file, db) : checkpoint(file, db, kind)
  } catch (error) {
    return { complete: false, report: `Committed messages could not be saved: ${errorChainText(error)}.` }
  }
}

const checkpoint = (file: string, db: Database.Database, kind: FileChange['kind']): Saved => {
  const [busy, frames, checkpointed] = db.prepare('PRAGMA wal_checkpoint(FULL)').raw().get() as number[]
  if (busy !== 0 || frames !== checkpointed) {
    return { complete: false, report: `${checkpointed} of ${frames} pages of the WAL are saved in ${file} so far.` }
  }
  const move = kind === 'replaced' ? ` Move ${file}-wal and ${file}-shm away before the restart.` : ''
  return { complete: true, report: `All committed messages are saved in ${file}.${move}` }
}

/** A copy of an earlier fault, or of another worker, is neither overwritten nor taken for this one. */
const copyDatabase = (file: string, db: Database.Database): Saved => {
  const draft = `${file}.rescued.${process.pid}.part`
  try {
    rmSync(draft, { force: true })
    if (!createPrivateFile(draft)) throw new Error(`${draft} is there again`)
    db.prepare('VACUUM INTO ?').run(draft)
    syncPath(draft)
    let copy = `${file}.rescued`
    for (let number = 2; !publishDraft(draft, copy); number++) copy = `${file}.rescued-${number}`
    return {
      complete: true,
      report: `All committed messages are saved in ${copy}: move it to ${file} before the restart.`,
    }
  } finally {
    rmSync(draft, { force: true })
  }
}
