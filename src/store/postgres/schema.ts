import type { Client } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { MIGRATIONS, SCHEMA_VERSION } from '../migrations.ts'
import type { SchemaInit } from '../sqlite/file.ts'
import { idGap } from '../sqlite/restore.ts'
import { timelineOf } from './connect.ts'
import { errorCode } from './errors.ts'

/** The first half of the name of the lock under which the tables of a schema are made: "DSGM". */
const SCHEMA_LOCK_CLASS = 0x4453474d

/** The SQL that takes the lock under which the tables of a schema are made or upgraded, until the transaction ends. */
export const schemaLockSql = (schema: string): string =>
  `SELECT pg_advisory_xact_lock(${SCHEMA_LOCK_CLASS}, hashtext('${schema}'))`

/**
 * Tables beside those of schema.sql. `header` has what SQLite keeps in the header of its file, and where the log is at home: a
 * restored copy is somewhere else. Tickets live for seconds; a crash of the server may take them.
 */
const OWN_TABLES = `
CREATE TABLE header (
  only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
  version    INTEGER NOT NULL,
  schema_oid INTEGER NOT NULL,
  timeline   TEXT
);
CREATE UNLOGGED TABLE ticket (
  id    TEXT    PRIMARY KEY,
  value TEXT    NOT NULL,
  until INTEGER NOT NULL
);
CREATE INDEX ticket_by_end ON ticket (until);`

/** What stands in schema.sql for SQLite, and what PostgreSQL has in its place. */
const DIALECT: readonly (readonly [RegExp, string])[] = [
  [/\bINTEGER PRIMARY KEY AUTOINCREMENT\b/g, 'bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY'],
  [/\bINTEGER\b/g, 'bigint'],
  // Bytes are compared, as SQLite does; a collation of the system could change under the indexes with its next update.
  [/\bTEXT\b/g, 'text COLLATE "C"'],
  [/\bBLOB\b/g, 'bytea'],
  [/\) STRICT(, WITHOUT ROWID)?/g, ')'],
]

/** Statements of schema.sql, or of a migration, in the words of PostgreSQL. */
export const translateSchema = (sqlite: string): string =>
  // Comments hold words of their own.
  DIALECT.reduce((text, [word, other]) => text.replace(word, other), sqlite.replace(/--.*$/gm, ''))

const SCHEMA_OID = 'SELECT oid::bigint FROM pg_namespace WHERE nspname = $1'

const RELATIONS = `SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'i', 'f', 'S')`

/**
 * Makes sure that the schema holds the tables of this application and version, making what is missing, in one
 * transaction. A schema that is refused is left as it was.
 *
 * @throws GatewayError database_not_ours, database_newer or database_access_refused
 * @throws DatabaseError of the driver; 55P03 if the schema stayed locked for as long as the session waits for a lock
 */
export const ensureSchema = async (client: Client, schema: string, maker: SchemaInit): Promise<void> => {
  try {
    await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${schemaLockSql(schema)}`)
    await prepare(client, schema, maker)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(noop)
    if (errorCode(error) !== '42501') throw error
    throw new GatewayError('database_access_refused', `The tables in the schema ${schema} cannot be made.`, {
      cause: error,
      hint: `As the owner of the database: CREATE SCHEMA ${schema} AUTHORIZATION the user of DATABASE_URL.`,
    })
  }
}

const prepare = async (client: Client, schema: string, maker: SchemaInit): Promise<void> => {
  const { rows: spaces } = await client.query(SCHEMA_OID, [schema])
  // Not IF NOT EXISTS: that needs the right to make schemas even where there is nothing to make.
  if (spaces.length === 0) await client.query(`CREATE SCHEMA "${schema}"`)
  const { rows: relations } = await client.query<{ relname: string }>(RELATIONS, [schema])
  const known = new Set(relations.map(({ relname }) => relname))
  const version = known.has('header') ? await versionOf(client) : null
  if (version === null && known.size > 0) {
    throw new GatewayError('database_not_ours', `The schema ${schema} holds tables of another application.`, {
      hint: 'Choose another schema for the gateway: add ?schema=NAME to DATABASE_URL.',
    })
  }
  if (version !== null && version > SCHEMA_VERSION) {
    throw new GatewayError(
      'database_newer',
      `The schema ${schema} has version ${version}; this gateway knows ${SCHEMA_VERSION}.`,
      { hint: 'These tables were made by a newer gateway. Upgrade the gateway or restore a backup.' },
    )
  }
  if (version === null) await create(client, schema, maker)
  else await bringUp(client, schema, version, maker)
}

const create = async (client: Client, schema: string, { schema: tables, logId, now }: SchemaInit): Promise<void> => {
  await client.query(translateSchema(`${tables};${OWN_TABLES}`))
  await client.query('INSERT INTO log (only_row, log_id, created_at) VALUES (1, $1, $2)', [logId, now])
  await client.query('INSERT INTO header VALUES (1, $1, $2, $3)', [
    SCHEMA_VERSION,
    await oidOf(client, schema),
    timelineOf(client),
  ])
}

const bringUp = async (client: Client, schema: string, version: number, { logId, now }: SchemaInit): Promise<void> => {
  for (const step of MIGRATIONS)
    if (step.version > version) await client.query(step.postgres ?? translateSchema(step.sql))
  await client.query('UPDATE header SET version = $1', [SCHEMA_VERSION])
  const { rows } = await client.query<{ schema_oid: number }>('SELECT schema_oid FROM header')
  const oid = await oidOf(client, schema)
  if (rows[0]!.schema_oid === oid) return
  // Made by pg_restore from a copy of this log or another: a log of its own.
  await client.query('UPDATE header SET schema_oid = $1', [oid])
  await client.query('UPDATE log SET log_id = $1, created_at = $2', [logId, now])
  await skipIdsAfterRestore(client, now)
}

const oidOf = async (client: Client, schema: string): Promise<number> =>
  (await client.query<{ oid: number }>(SCHEMA_OID, [schema])).rows[0]!.oid

/**
 * Passes over ids that a lost part of this log can have given out: a restored copy, or a standby that was behind when it
 * was promoted, must not give them out again (R1). In the caller's transaction.
 *
 * @param now milliseconds since 1970
 */
export const skipIdsAfterRestore = async (client: Client, now: number): Promise<void> => {
  const { rows } = await client.query<{ last_at: number }>(
    'SELECT coalesce((SELECT max(last_at) FROM event), (SELECT created_at FROM log))::bigint AS last_at',
  )
  const sequence = "pg_get_serial_sequence('message', 'db_id')"
  const ids = idGap(rows[0]!.last_at, now)
  await client.query(`SELECT setval(${sequence}, nextval(${sequence}) + $1::bigint)`, [ids])
  await client.query('UPDATE header SET timeline = $1', [timelineOf(client)])
}

const versionOf = async (client: Client): Promise<number | null> => {
  const { rows } = await client.query<{ version: number }>('SELECT version FROM header')
  return rows[0]?.version ?? null
}

/**
 * Looks whether the tables of this application and version are there, for those who only visit them: nothing is made.
 *
 * @throws GatewayError database_not_ours, database_newer or database_open_failed
 */
export const assertSchema = async (client: Client, schema: string): Promise<void> => {
  const { rows } = await client.query(`SELECT 1 WHERE to_regclass('"${schema}".header') IS NOT NULL`)
  if (rows.length === 0) {
    throw new GatewayError('database_open_failed', `There is no log in the schema ${schema} yet.`, {
      hint: 'Start a gateway on it first, or check DATABASE_URL.',
    })
  }
  const version = await versionOf(client)
  if (version === SCHEMA_VERSION) return
  throw new GatewayError('database_newer', `The schema ${schema} has version ${version}, not ${SCHEMA_VERSION}.`, {
    hint: 'Use the same version for the command as for the gateway.',
  })
}
