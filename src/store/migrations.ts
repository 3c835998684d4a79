import type Database from 'better-sqlite3'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'

/** What makes a database of one version into one of the next. */
export interface Migration {
  /** The version that it leads to. */
  readonly version: number
  readonly summary: string
  /** Statements in the form of the day they were written: released, a migration is never changed again. */
  readonly sql: string
  /** The same for PostgreSQL, where it is not the same words. */
  readonly postgres?: string
}

/**
 * All of them, in order and without a gap. schema.sql says what they lead to and is what a new file is made from;
 * integration/store/migrations.test.ts brings a file of every released version up and compares. A change of a table is a new entry here, the
 * same change in schema.sql, and a fixture of the version before.
 */
export const MIGRATIONS: readonly Migration[] = [
  {
    version: 2,
    summary: 'subjects whose tokens are refused',
    sql: `
CREATE TABLE revocation (
  subject       TEXT    PRIMARY KEY,
  issued_before INTEGER NOT NULL,      -- tokens issued up to this time; milliseconds since 1970
  until         INTEGER                -- forgotten after this time; NULL: never
) STRICT, WITHOUT ROWID;`,
  },
  {
    version: 3,
    summary: 'the greatest pruned db_id of all events at once',
    sql: 'CREATE INDEX event_by_pruning ON event (pruned_db_id) WHERE pruned_db_id > 0;',
  },
  {
    version: 4,
    summary: 'the trace of a message',
    sql: 'ALTER TABLE message ADD COLUMN traceparent TEXT;',
  },
  {
    version: 5,
    summary: 'the unique key by message_id first',
    sql: `
DROP INDEX message_by_event;
ALTER TABLE message RENAME TO message_4;
CREATE TABLE message (
  db_id        INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id     TEXT    NOT NULL,
  message_id   TEXT    NOT NULL,       -- idempotency key within its event
  message_from TEXT,
  message_type TEXT,
  round_id     INTEGER,
  received_at  INTEGER NOT NULL,       -- milliseconds since 1970
  lacks        INTEGER NOT NULL,       -- keys the body lacks: 1 event_id, 2 message_id
  body         TEXT    NOT NULL,       -- the text as it was published
  traceparent  TEXT,                   -- W3C Trace Context; NULL: it came without
  UNIQUE (message_id, event_id)        -- in this order ids that rise with time touch the index's end only
) STRICT;
INSERT INTO message (db_id, event_id, message_id, message_from, message_type, round_id, received_at, lacks, body, traceparent)
  SELECT db_id, event_id, message_id, message_from, message_type, round_id, received_at, lacks, body, traceparent
  FROM message_4 ORDER BY db_id;
-- Ids that were given out are beyond the rows that are left.
DELETE FROM sqlite_sequence WHERE name = 'message';
INSERT INTO sqlite_sequence (name, seq) SELECT 'message', seq FROM sqlite_sequence WHERE name = 'message_4';
DROP TABLE message_4;
CREATE INDEX message_by_event ON message (event_id, db_id);`,
    postgres: `
ALTER TABLE message ADD UNIQUE (message_id, event_id);
ALTER TABLE message DROP CONSTRAINT message_event_id_message_id_key;`,
  },
]

/** The first version that was released. */
export const FIRST_VERSION = 1

/** The version of schema.sql, kept as `user_version` of the file. */
export const SCHEMA_VERSION = MIGRATIONS.at(-1)?.version ?? FIRST_VERSION

/** How long a start waits for a lock, in milliseconds: another process may be making or upgrading the tables. */
export const START_LOCK_TIMEOUT_MS = 60_000

/**
 * Brings a database of ours to a version, whichever it has: all steps in one transaction, so that a file is of one version
 * or the other, whatever happens meanwhile. Another process may be about the same; it then finds nothing left to do.
 *
 * @param db a connection of its own: its patience with locks is changed
 * @param steps all migrations, unless a test has others
 * @throws GatewayError database_newer, or database_upgrade_failed; the file is then as it was
 */
export const migrate = (db: Database.Database, steps: readonly Migration[] = MIGRATIONS): void => {
  const goal = steps.at(-1)?.version ?? FIRST_VERSION
  const versionNow = (): number => db.pragma('user_version', { simple: true }) as number
  if (versionNow() > goal) throw newerSchemaError(db.name, versionNow(), goal)
  if (versionNow() === goal) return
  db.pragma(`busy_timeout = ${START_LOCK_TIMEOUT_MS}`)
  let at = 'waiting for the lock'
  try {
    db.transaction(() => {
      for (const { version, summary, sql } of steps.filter((step) => step.version > versionNow())) {
        at = `step ${version} (${summary})`
        db.exec(sql)
        db.pragma(`user_version = ${version}`)
      }
      at = 'the commit'
    }).immediate()
  } catch (cause) {
    throw new GatewayError('database_upgrade_failed', `${db.name}, ${at}: ${errorChainText(cause)}`, { cause })
  }
}

/** A file of a later version is left alone: what that version means by its tables is not known here. */
export const newerSchemaError = (file: string, version: number, known = SCHEMA_VERSION): GatewayError =>
  new GatewayError('database_newer', `${file} has schema version ${version}; this gateway knows ${known}.`)
