import type { Client } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { MIGRATIONS, SCHEMA_VERSION } from '../migrations.ts'
import type { SchemaInit } from '../sqlite/file.ts'
import { idGap } from '../sqlite/restore.ts'
import { getTimeline } from './connect.ts'
import { errorCode } from './errors.ts'

/** First key of the advisory lock for creating and upgrading the tables: "DSGM". */
const SCHEMA_LOCK_CLASS = 0x4453474d

/** SQL that takes the lock for creating or upgrading the tables of a schema, until the transaction ends. */
export const schemaLockSql = (schema: string): string =>
  `SELECT pg_advisory_xact_lock(${SCHEMA_LOCK_CLASS}, hashtext('${schema}'))`

/**
 * Tables in addition to those of schema.sql. `header` has what SQLite keeps in its file header, and the schema's oid and the timeline,
 * which differ in a restored copy. Tickets live for seconds, so their table is unlogged: a crash of the server may delete them.
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

/** Replacements that turn the SQLite dialect of schema.sql into that of PostgreSQL. */
const DIALECT: readonly (readonly [RegExp, string])[] = [
  [/\bINTEGER PRIMARY KEY AUTOINCREMENT\b/g, 'bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY'],
  [/\bINTEGER\b/g, 'bigint'],
  // Compare bytes, as SQLite does: an update of the operating system can change any other collation and invalidate the indexes.
  [/\bTEXT\b/g, 'text COLLATE "C"'],
  [/\bBLOB\b/g, 'bytea'],
  [/\) STRICT(, WITHOUT ROWID)?/g, ')'],
]

/** Translates the statements of schema.sql, or of a migration, to PostgreSQL. */
export const translateSchema = (sqlite: string): string =>
  // Remove comments first: they can contain the replaced words.
  DIALECT.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), sqlite.replace(/--.*$/gm, ''))

const SCHEMA_OID = 'SELECT oid::bigint FROM pg_namespace WHERE nspname = $1'

const RELATIONS = `SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'i', 'f', 'S')`

/**
 * Makes sure that the schema has the tables of this application and version, creating or upgrading them in one transaction. If the schema
 * is not usable, it is left unchanged.
 *
 * @throws GatewayError database_not_ours, database_newer or database_access_refused
 * @throws DatabaseError of the driver; 55P03 if the schema lock is not released within the session's lock timeout
 */
export const ensureSchema = async (client: Client, schema: string, init: SchemaInit): Promise<void> => {
  try {
    await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${schemaLockSql(schema)}`)
    await createOrUpgrade(client, schema, init)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(noop)
    if (errorCode(error) !== '42501') throw error
    throw new GatewayError('database_access_refused', `The tables in the schema ${schema} cannot be created.`, {
      cause: error,
      hint: `As the owner of the database: CREATE SCHEMA ${schema} AUTHORIZATION the user of DATABASE_URL.`,
    })
  }
}

const createOrUpgrade = async (client: Client, schema: string, init: SchemaInit): Promise<void> => {
  const { rows: schemas } = await client.query(SCHEMA_OID, [schema])
  // Not IF NOT EXISTS: that requires the CREATE privilege even if the schema exists.
  if (schemas.length === 0) await client.query(`CREATE SCHEMA "${schema}"`)
  const { rows: relations } = await client.query<{ relname: string }>(RELATIONS, [schema])
  const tables = new Set(relations.map(({ relname }) => relname))
  const version = tables.has('header') ? await selectVersion(client) : null
  if (version === null && tables.size > 0) {
    throw new GatewayError('database_not_ours', `The schema ${schema} contains tables of another application.`, {
      hint: 'Choose another schema for the gateway: add ?schema=NAME to DATABASE_URL.',
    })
  }
  if (version !== null && version > SCHEMA_VERSION) {
    throw new GatewayError(
      'database_newer',
      `The schema ${schema} has version ${version}; this gateway supports ${SCHEMA_VERSION}.`,
      { hint: 'These tables were created by a newer gateway. Upgrade the gateway or restore a backup.' },
    )
  }
  if (version === null) await create(client, schema, init)
  else await upgradeSchema(client, schema, version, init)
}

const create = async (client: Client, schema: string, { schema: tables, logId, now }: SchemaInit): Promise<void> => {
  await client.query(translateSchema(`${tables};${OWN_TABLES}`))
  await client.query('INSERT INTO log (only_row, log_id, created_at) VALUES (1, $1, $2)', [logId, now])
  await client.query('INSERT INTO header VALUES (1, $1, $2, $3)', [
    SCHEMA_VERSION,
    await selectSchemaOid(client, schema),
    getTimeline(client),
  ])
}

const upgradeSchema = async (
  client: Client,
  schema: string,
  version: number,
  { logId, now }: SchemaInit,
): Promise<void> => {
  for (const step of MIGRATIONS)
    if (step.version > version) await client.query(step.postgres ?? translateSchema(step.sql))
  await client.query('UPDATE header SET version = $1', [SCHEMA_VERSION])
  const { rows } = await client.query<{ schema_oid: number }>('SELECT schema_oid FROM header')
  const oid = await selectSchemaOid(client, schema)
  if (rows[0]!.schema_oid === oid) return
  // The schema was created by pg_restore from a copy, so it becomes a separate store.
  await client.query('UPDATE header SET schema_oid = $1', [oid])
  await client.query('UPDATE log SET log_id = $1, created_at = $2', [logId, now])
  await skipIdsAfterRestore(client, now)
}

const selectSchemaOid = async (client: Client, schema: string): Promise<number> =>
  (await client.query<{ oid: number }>(SCHEMA_OID, [schema])).rows[0]!.oid

/**
 * Skips ids that a lost part of this store may have used: a restored copy, or a standby that lagged when it was promoted, must not assign
 * them again (R1). Runs in the caller's transaction.
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
  await client.query('UPDATE header SET timeline = $1', [getTimeline(client)])
}

const selectVersion = async (client: Client): Promise<number | null> => {
  const { rows } = await client.query<{ version: number }>('SELECT version FROM header')
  return rows[0]?.version ?? null
}

/**
 * Checks that the tables of this application and version exist, without creating anything; for CLI commands.
 *
 * @throws GatewayError database_not_ours, database_newer or database_open_failed
 */
export const assertSchema = async (client: Client, schema: string): Promise<void> => {
  const { rows } = await client.query(`SELECT 1 WHERE to_regclass('"${schema}".header') IS NOT NULL`)
  if (rows.length === 0) {
    throw new GatewayError('database_open_failed', `The schema ${schema} has no gateway tables yet.`, {
      hint: 'Start a gateway on it first, or check DATABASE_URL.',
    })
  }
  const version = await selectVersion(client)
  if (version === SCHEMA_VERSION) return
  throw new GatewayError('database_newer', `The schema ${schema} has version ${version}, not ${SCHEMA_VERSION}.`, {
    hint: 'Use the same version for the command as for the gateway.',
  })
}
