import { createHash, randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'
import { limit } from '../harness/limits.ts'

/** A row of the table `message`, with the columns that tests read. */
export type MessageRow = {
  db_id: number
  event_id: string
  message_id: string
  message_from: string | null
  message_type: string | null
  round_id: number | null
  lacks: number
  body: string
}

/** A row of the table `rejected`. */
export type RejectedRow = {
  rejected_id: number
  received_at: number
  reason: string
  detail: string
  exchange: string
  routing_key: string
  headers: string
  properties: string
  body: Buffer
  body_bytes: number
  sha256: string
}

/** Reads a gateway's database from outside, over a separate read-only connection that is closed again. */
export const inDatabase = <T>(file: string, look: (db: Database.Database) => T): T => {
  const db = new Database(file, { readonly: true, fileMustExist: true, timeout: limit(10_000) })
  try {
    return look(db)
  } finally {
    db.close()
  }
}

/** Returns all messages in the order of their db_id, or those of one event. */
export const messageRows = (file: string, event_id?: string): MessageRow[] =>
  inDatabase(file, (db) =>
    event_id === undefined
      ? (db.prepare('SELECT * FROM message ORDER BY db_id').all() as MessageRow[])
      : (db.prepare('SELECT * FROM message WHERE event_id = ? ORDER BY db_id').all(event_id) as MessageRow[]),
  )

/** Returns the number of messages, in total or of one event. */
export const countMessages = (file: string, event_id: string | null = null): number =>
  inDatabase(file, (db) => {
    const sql = 'SELECT count(*) FROM message WHERE @event_id IS NULL OR event_id = @event_id'
    return db.prepare(sql).pluck().get({ event_id }) as number
  })

/** Returns the quarantine, oldest first. */
export const rejectedRows = (file: string): RejectedRow[] =>
  inDatabase(file, (db) => db.prepare('SELECT * FROM rejected ORDER BY rejected_id').all() as RejectedRow[])

/** Returns `ok`, or the damage that SQLite finds in the file. */
export const checkIntegrity = (file: string): string =>
  inDatabase(file, (db) => db.pragma('integrity_check', { simple: true }) as string)

/** A write lock of another program; `release` releases it. */
export const holdWriteLock = (file: string): { release(): void } => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  db.exec('BEGIN IMMEDIATE')
  return {
    release() {
      db.exec('ROLLBACK')
      db.close()
    },
  }
}

/** Empties the quarantine. */
export const clearRejected = (file: string): void => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  db.exec('DELETE FROM rejected')
  db.close()
}

/** A row for the quarantine; missing fields are filled in as ingest would. */
export type NewRejected = Partial<Omit<RejectedRow, 'rejected_id' | 'body'>> & { body: string | Buffer }

/** Empties the quarantine and resets its ids. */
export const forgetRejected = (file: string): void => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  try {
    db.exec("DELETE FROM rejected; DELETE FROM sqlite_sequence WHERE name = 'rejected'")
  } finally {
    db.close()
  }
}

/** Inserts rows into the quarantine of a database, like a gateway that could not accept them. */
export const addRejected = (file: string, rows: readonly NewRejected[]): number[] => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  try {
    const names = 'received_at, reason, detail, exchange, routing_key, headers, properties, body, body_bytes, sha256'
    const insert = db.prepare(`INSERT INTO rejected (${names}) VALUES (${names.replace(/\w+/g, '@$&')})`)
    return db.transaction(() =>
      rows.map((row) => {
        const body = Buffer.from(row.body as string)
        const usual = {
          received_at: Date.now(),
          reason: 'internal',
          detail: 'for a reason of that time',
          exchange: 'agents',
          routing_key: 'notifications.frontend.test',
          headers: '{}',
          properties: '{}',
          body_bytes: body.length,
          sha256: createHash('sha256').update(body).digest('hex'),
        }
        return Number(insert.run({ ...usual, ...row, body }).lastInsertRowid)
      }),
    )()
  } finally {
    db.close()
  }
}

/** Sets the times of messages, by db_id in milliseconds, as if a test had really waited between them. */
export const setTimes = (file: string, times: ReadonlyMap<number, number>): void => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  const set = db.prepare('UPDATE message SET received_at = ? WHERE db_id = ?')
  db.transaction(() => {
    for (const [id, at] of times) set.run(at, id)
    const bound = (which: string) => `(SELECT ${which}(received_at) FROM message m WHERE m.event_id = event.event_id)`
    db.exec(`UPDATE event SET first_at = ${bound('min')}, last_at = ${bound('max')}`)
  })()
  db.close()
}

/** A message for the store: a published body, and its time of receipt in milliseconds since 1970. */
export type NewMessageRow = { body: Record<string, unknown>; at: number }

/** Inserts the messages of one event into the store of a gateway that is not running. */
export const addMessages = (file: string, event_id: string, rows: Iterable<NewMessageRow>): void => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  try {
    const names = 'event_id, message_id, message_from, message_type, round_id, received_at, lacks, body'
    const insert = db.prepare(`INSERT INTO message (${names}) VALUES (${names.replace(/\w+/g, '@$&')})`)
    db.transaction(() => {
      for (const { body, at } of rows) {
        const { message_from = null, message_type = null, round_id = null } = body
        const own = { event_id, message_id: randomUUID(), message_from, message_type, round_id }
        // 3: the body has neither id.
        insert.run({ ...own, received_at: at, lacks: 3, body: JSON.stringify(body) })
      }
      db.prepare(
        `INSERT OR REPLACE INTO event
         SELECT event_id, count(*), min(db_id), max(db_id), 0, min(received_at), max(received_at)
         FROM message WHERE event_id = ? GROUP BY event_id`,
      ).run(event_id)
    })()
  } finally {
    db.close()
  }
}
