import type { Client } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { MIGRATIONS, SCHEMA_VERSION } from '../migrations.ts'
import { idGap } from '../sqlite/backup/restore.ts'
import type { SchemaInit } from '../sqlite/file.ts'
import { errorCode } from './errors.ts'
import { SERVER_TIME } from './server/server-clock.ts'
import { BEGIN_WRITE, getTimelineId } from './server/session.ts'

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

/**
 * Processes that use the store, and when they were last seen. Not a migration: gateways without this table ignore it. Unlogged, so that
 * its commits wait for no disk and no standby.
 */
const GATEWAY_TABLE = `
CREATE UNLOGGED TABLE gateway (
  id      TEXT    PRIMARY KEY,
  seen_at INTEGER NOT NULL,
  status  TEXT    NOT NULL
);`

/** `version` in `header` while a migration fills the tables: negative. */
const UNFINISHED_VERSION = -SCHEMA_VERSION
/** Stands for a `header` without its row: the store was moved to another database. */
const MOVED_VERSION = 0

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
 * @throws GatewayError database_not_ours, database_newer, database_moved, database_incomplete or database_access_refused
 * @throws DatabaseError of the driver; 55P03 if the schema lock is not released within the session's lock timeout
 */
export const ensureSchema = async (client: Client, schema: string, init: SchemaInit): Promise<void> => {
  try {
    await client.query(`${BEGIN_WRITE}; ${schemaLockSql(schema)}`)
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
  const version = await prepareSchema(client, schema)
  if (version === null) return create(client, schema, init, SCHEMA_VERSION)
  assertInUse(schema, version)
  if (version > SCHEMA_VERSION) throw newerSchema(schema, version)
  await upgradeSchema(client, schema, version, init)
}

/** Creates the schema if it is missing. @returns the version of its tables, or null if it has none. @throws GatewayError database_not_ours */
const prepareSchema = async (client: Client, schema: string): Promise<number | null> => {
  const { rows: schemas } = await client.query(SCHEMA_OID, [schema])
  // Not IF NOT EXISTS: that requires the CREATE privilege even if the schema exists.
  if (schemas.length === 0) await client.query(`CREATE SCHEMA "${schema}"`)
  const { rows: relations } = await client.query<{ relname: string }>(RELATIONS, [schema])
  const tables = new Set(relations.map(({ relname }) => relname))
  if (tables.size === 0) return null
  if (tables.has('header')) return selectVersion(client)
  throw new GatewayError('database_not_ours', `The schema ${schema} contains tables of another application.`, {
    hint: 'Choose another schema for the gateway: add ?schema=NAME to DATABASE_URL.',
  })
}

/** @throws GatewayError database_moved or database_incomplete */
const assertInUse = (schema: string, version: number): void => {
  if (version === MOVED_VERSION) {
    throw new GatewayError('database_moved', `The store in the schema ${schema} was migrated to another database.`)
  }
  if (version > 0) return
  throw new GatewayError(
    'database_incomplete',
    `The schema ${schema} is the target of a migration that has not finished.`,
  )
}

const newerSchema = (schema: string, version: number): GatewayError =>
  new GatewayError(
    'database_newer',
    `The schema ${schema} has version ${version}; this gateway supports ${SCHEMA_VERSION}.`,
    { hint: 'These tables were created by a newer gateway. Upgrade the gateway or restore a backup.' },
  )

/**
 * Checks the version that another gateway can have given to the tables meanwhile. One version ahead is accepted, so that hosts can be
 * upgraded one after another; see MIGRATIONS.
 *
 * @throws GatewayError database_newer
 */
export const assertUsableVersion = (schema: string, version: number): void => {
  if (version > SCHEMA_VERSION + 1) throw newerSchema(schema, version)
}

const create = async (
  client: Client,
  schema: string,
  { schema: tables, logId, now }: SchemaInit,
  version: number,
): Promise<void> => {
  await client.query(translateSchema(`${tables};${OWN_TABLES}${GATEWAY_TABLE}`))
  await client.query('INSERT INTO log (only_row, log_id, created_at) VALUES (1, $1, $2)', [logId, now])
  await client.query('INSERT INTO header VALUES (1, $1, $2, $3)', [
    version,
    await selectSchemaOid(client, schema),
    getTimelineId(client),
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
  if (!(await hasTable(client, schema, 'gateway'))) await client.query(translateSchema(GATEWAY_TABLE))
  await client.query('UPDATE header SET version = $1', [SCHEMA_VERSION])
  const { rows } = await client.query<{ schema_oid: number }>('SELECT schema_oid FROM header')
  const oid = await selectSchemaOid(client, schema)
  if (rows[0]!.schema_oid === oid) return
  // The schema was created by pg_restore from a copy, so it becomes a separate store.
  await client.query('UPDATE header SET schema_oid = $1', [oid])
  await client.query('UPDATE log SET log_id = $1, created_at = $2', [logId, now])
  await skipIdsAfterRestore(client)
}

const selectSchemaOid = async (client: Client, schema: string): Promise<number> =>
  (await client.query<{ oid: number }>(SCHEMA_OID, [schema])).rows[0]!.oid

/**
 * Skips ids that a lost part of this store may have used: a restored copy, or a standby that lagged when it was promoted, must not assign
 * them again (R1). Runs in the caller's transaction. The clock of the server decides, like about `received_at`.
 */
export const skipIdsAfterRestore = async (client: Client): Promise<void> => {
  const { rows } = await client.query<{ last_at: number; now: number }>(
    `SELECT coalesce((SELECT max(last_at) FROM event), (SELECT created_at FROM log))::bigint AS last_at, ${SERVER_TIME} AS now`,
  )
  const sequence = "pg_get_serial_sequence('message', 'db_id')"
  const ids = idGap(rows[0]!.last_at, rows[0]!.now)
  await client.query(`SELECT setval(${sequence}, nextval(${sequence}) + $1::bigint)`, [ids])
  await client.query('UPDATE header SET timeline = $1', [getTimelineId(client)])
}

const hasTable = async (client: Client, schema: string, table: string): Promise<boolean> =>
  (await client.query(`SELECT 1 WHERE to_regclass('"${schema}".${table}') IS NOT NULL`)).rows.length > 0

const selectVersion = async (client: Client): Promise<number> => {
  const { rows } = await client.query<{ version: number }>('SELECT version FROM header')
  return rows[0]?.version ?? MOVED_VERSION
}

const targetUsed = (schema: string): GatewayError =>
  new GatewayError('database_target_used', `The schema ${schema} contains a store already.`)

/**
 * Returns whether createUnfinishedSchema has created tables in the schema; false if there is no store.
 *
 * @throws GatewayError database_target_used if it is a store, or database_incomplete if another version has created them
 */
export const hasUnfinishedSchema = async (client: Client, schema: string): Promise<boolean> => {
  if (!(await hasTable(client, schema, 'header'))) return false
  const version = await selectVersion(client)
  if (version >= 0) throw targetUsed(schema)
  if (version === UNFINISHED_VERSION) return true
  throw new GatewayError('database_incomplete', `The schema ${schema} was started by another version of the gateway.`, {
    hint: 'Delete the target, and start again.',
  })
}

/**
 * Creates tables on which no gateway starts until `finishSchema`. Runs in the caller's transaction.
 *
 * @throws GatewayError database_target_used or database_not_ours
 */
export const createUnfinishedSchema = async (client: Client, schema: string, init: SchemaInit): Promise<void> => {
  await client.query(schemaLockSql(schema))
  if ((await prepareSchema(client, schema)) !== null) throw targetUsed(schema)
  await create(client, schema, init, UNFINISHED_VERSION)
}

/** Turns the tables of createUnfinishedSchema into a store. Runs in the caller's transaction. */
export const finishSchema = async (client: Client): Promise<void> => {
  await client.query('UPDATE header SET version = $1, timeline = $2', [SCHEMA_VERSION, getTimelineId(client)])
}

/** Marks a store as moved to another database. Without this row, the writers of running gateways fail too. */
export const retireSchema = async (client: Client): Promise<void> => {
  await client.query('DELETE FROM header')
}

/**
 * Checks that the schema has tables of this version that a gateway has used, or that were moved.
 *
 * @returns true if they were moved
 * @throws GatewayError database_is_backup for a restored copy that no gateway has started on; otherwise like assertSchema
 */
export const assertSourceSchema = async (client: Client, schema: string): Promise<boolean> => {
  if ((await assertSchema(client, schema, { movedToo: true })) === MOVED_VERSION) return true
  const { rows } = await client.query<{ schema_oid: number }>('SELECT schema_oid FROM header')
  if (rows[0]?.schema_oid === (await selectSchemaOid(client, schema))) return false
  throw new GatewayError('database_is_backup', `The schema ${schema} is a copy that no gateway has started on yet.`)
}

/**
 * Checks that the tables of this application and version exist, without creating anything; for CLI commands.
 *
 * @param options.movedToo accepts a store that was moved to another database
 * @returns the version
 * @throws GatewayError database_not_ours, database_newer, database_moved, database_incomplete or database_open_failed
 */
export const assertSchema = async (client: Client, schema: string, { movedToo = false } = {}): Promise<number> => {
  if (!(await hasTable(client, schema, 'header'))) {
    throw new GatewayError('database_open_failed', `The schema ${schema} has no gateway tables yet.`, {
      hint: 'Start a gateway on it first, or check DATABASE_URL.',
    })
  }
  const version = await selectVersion(client)
  if (version === SCHEMA_VERSION || (movedToo && version === MOVED_VERSION)) return version
  assertInUse(schema, version)
  throw new GatewayError('database_newer', `The schema ${schema} has version ${version}, not ${SCHEMA_VERSION}.`, {
    hint: 'Use the same version for the command as for the gateway.',
  })
}
