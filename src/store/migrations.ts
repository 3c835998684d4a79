import type Database from 'better-sqlite3'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import { isBusy } from './sqlite/errors.ts'

/** Upgrades a database from the previous schema version to `version`. */
export interface Migration {
  /** Schema version after this migration. */
  readonly version: number
  readonly summary: string
  /** SQL statements for SQLite. They must never be changed once they are released. */
  readonly sql: string
  /** SQL statements for PostgreSQL, if the translation of `sql` by translateSchema does not work there. */
  readonly postgres?: string
}

/**
 * All migrations in ascending order, without gaps. schema.sql contains the resulting schema and is used to create new databases;
 * integration/store/migrations.test.ts upgrades a file of every released version and compares. To change a table, add an entry here, make
 * the same change in schema.sql, and add a fixture of the previous version. On PostgreSQL the previous version of the gateway keeps using the
 * tables until it is upgraded too: its statements must still work after the migration, and what it writes must be right for the new one.
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
  {
    version: 6,
    summary: 'the copy that an edge keeps',
    sql: `
ALTER TABLE log ADD COLUMN followed TEXT;
ALTER TABLE log ADD COLUMN level_at INTEGER;`,
  },
]

/** The first released schema version. */
export const FIRST_VERSION = 1

/** Version of schema.sql. SQLite stores it as `user_version`, PostgreSQL in the table `header`. */
export const SCHEMA_VERSION = MIGRATIONS.at(-1)?.version ?? FIRST_VERSION

/**
 * Upgrades an SQLite database to the latest version in one transaction, so that a crash leaves either the old or the new version. If
 * several processes start at once, one of them upgrades the database and the others find nothing to do.
 *
 * @param steps all migrations; only tests pass others
 * @throws GatewayError database_newer or database_upgrade_failed; the file is then unchanged
 * @throws SqliteError SQLITE_BUSY if another process holds the lock
 */
export const migrate = (db: Database.Database, steps: readonly Migration[] = MIGRATIONS): void => {
  const goal = steps.at(-1)?.version ?? FIRST_VERSION
  const versionNow = (): number => db.pragma('user_version', { simple: true }) as number
  if (versionNow() > goal) throw newerSchemaError(db.name, versionNow(), goal)
  if (versionNow() === goal) return
  let at = 'the lock'
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
    if (isBusy(cause)) throw cause
    throw new GatewayError('database_upgrade_failed', `${db.name}, ${at}: ${errorChainText(cause)}`, { cause })
  }
}

/** Creates the error for a database with a newer schema version. Such a database is not used, since its tables may have another meaning. */
export const newerSchemaError = (file: string, version: number, known = SCHEMA_VERSION): GatewayError =>
  new GatewayError('database_newer', `${file} has schema version ${version}; this gateway supports ${known}.`)
