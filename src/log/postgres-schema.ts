import type { Client } from 'pg'
import { GatewayError } from '../message/errors.ts'
import { MIGRATIONS, SCHEMA_VERSION } from './migrations.ts'
import { codeOf } from './postgres-errors.ts'
import type { SchemaMaker } from './sqlite-file.ts'

/** Two gateways that start at once must not both make the tables: "DSGW" and a number of its own. */
const MAKING = 'SELECT pg_advisory_xact_lock(1146308439, 0)'

/** SQLite's version is a field of its file; here it takes a table. */
const VERSION_TABLE = `CREATE TABLE schema_version (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  version  INTEGER NOT NULL
) STRICT`

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
export const inPostgres = (sqlite: string): string =>
  // Comments hold words of their own.
  DIALECT.reduce((text, [word, other]) => text.replace(word, other), sqlite.replace(/--.*$/gm, ''))

const EXISTS = 'SELECT 1 FROM pg_namespace WHERE nspname = $1'

const RELATIONS = `SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'i', 'f', 'S')`

/**
 * Makes sure that the schema holds the tables of this application and version, making what is missing, in one
 * transaction. A schema that is refused is left as it was.
 *
 * @throws GatewayError database_foreign, database_newer or database_access_refused
 */
export const prepareSchema = async (client: Client, schema: string, maker: SchemaMaker): Promise<void> => {
  try {
    await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${MAKING}`)
    await prepare(client, schema, maker)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    if (codeOf(error) !== '42501') throw error
    throw new GatewayError('database_access_refused', `The tables in the schema ${schema} cannot be made.`, {
      cause: error,
      hint: `As the owner of the database: CREATE SCHEMA ${schema} AUTHORIZATION the user of DATABASE_URL.`,
    })
  }
}

const prepare = async (client: Client, schema: string, maker: SchemaMaker): Promise<void> => {
  const { rows: spaces } = await client.query(EXISTS, [schema])
  // Not IF NOT EXISTS: that needs the right to make schemas even where there is nothing to make.
  if (spaces.length === 0) await client.query(`CREATE SCHEMA "${schema}"`)
  const { rows: relations } = await client.query<{ relname: string }>(RELATIONS, [schema])
  const known = new Set(relations.map(({ relname }) => relname))
  const version = known.has('schema_version') ? await versionOf(client) : null
  if (version === null && known.size > 0) {
    throw new GatewayError('database_foreign', `The schema ${schema} holds tables of another application.`, {
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
  if (version === SCHEMA_VERSION) return
  if (version === null) {
    await client.query(inPostgres(`${maker.schema};${VERSION_TABLE}`))
    await client.query('INSERT INTO log (only_row, log_id, created_at) VALUES (1, $1, $2)', [maker.logId, maker.now])
    await client.query('INSERT INTO schema_version (only_row, version) VALUES (1, $1)', [SCHEMA_VERSION])
    return
  }
  for (const step of MIGRATIONS) if (step.version > version) await client.query(inPostgres(step.sql))
  await client.query('UPDATE schema_version SET version = $1', [SCHEMA_VERSION])
}

const versionOf = async (client: Client): Promise<number | null> => {
  const { rows } = await client.query<{ version: number }>('SELECT version FROM schema_version')
  return rows[0]?.version ?? null
}

/**
 * Looks whether the tables of this application and version are there, for those who only visit them: nothing is made.
 *
 * @throws GatewayError database_foreign, database_newer or database_unopenable
 */
export const requireSchema = async (client: Client, schema: string): Promise<void> => {
  const { rows } = await client.query(`SELECT 1 WHERE to_regclass('"${schema}".schema_version') IS NOT NULL`)
  if (rows.length === 0) {
    throw new GatewayError('database_unopenable', `There is no log in the schema ${schema} yet.`, {
      hint: 'Start a gateway on it first, or check DATABASE_URL.',
    })
  }
  const version = await versionOf(client)
  if (version === SCHEMA_VERSION) return
  throw new GatewayError('database_newer', `The schema ${schema} has version ${version}, not ${SCHEMA_VERSION}.`, {
    hint: 'Use the same version for the command as for the gateway.',
  })
}
