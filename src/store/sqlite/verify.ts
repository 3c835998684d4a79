import type Database from 'better-sqlite3'
import { GatewayError } from '../../core/errors.ts'
import { openConnection } from './file.ts'

/** JSON text has no raw NUL. A zeroed page at the end of a body leaves the b-tree intact, so only its zeros reveal it. */
export const isBodyDamaged = (body: string): boolean => body.includes('\0')

/** Returns the error for a body that `isBodyDamaged`. */
export const damagedBody = (db_id: number): GatewayError =>
  new GatewayError('database_corrupt', `The body of message ${db_id} is damaged: it has NUL bytes.`)

const FIND_DAMAGED_BODY = 'SELECT db_id FROM message WHERE instr(body, char(0)) > 0 LIMIT 1'

/**
 * Reads the whole database through a connection of its own, whose page cache is empty.
 *
 * @throws GatewayError database_corrupt, or an error of SQLite
 */
export const verifyDatabase = (file: string): void => {
  const db = openConnection(file, { readonly: true })
  try {
    const verdict = db.pragma('integrity_check(1)', { simple: true })
    if (verdict !== 'ok') throw new GatewayError('database_corrupt', `${file}: ${verdict}`)
    const db_id = db.prepare(FIND_DAMAGED_BODY).pluck().get() as number | undefined
    if (db_id !== undefined) throw damagedBody(db_id)
  } finally {
    db.close()
  }
}

/** Drops the pages that a connection has read, so that it reads a repaired file again. */
export const dropPageCache = (db: Database.Database): void => void db.pragma('shrink_memory')
