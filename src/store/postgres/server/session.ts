import type { Client } from 'pg'
import { GatewayError } from '../../../core/errors.ts'
import { isSqlState } from '../errors.ts'
import type { PostgresAddress } from '../url.ts'
import type { ServerTimeline } from './timelines.ts'

/** Oldest supported server version, PostgreSQL 12: it introduced tcp_user_timeout. */
const MIN_SERVER_VERSION = 120_000

/**
 * SQL that makes a commit durable at the server (L1). `remote_apply` is stricter than `on` and is kept. Only a warning shows that the wait
 * for the standby was cancelled.
 *
 * @param local true for the current transaction only, false for the connection
 */
export const durableCommitSql = (local: boolean): string =>
  `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, ${local}),
set_config('client_min_messages', 'warning', ${local})`

/** @throws GatewayError database_unsuitable */
export const assertDurableCommit = (synchronous_commit: string): void => {
  if (['on', 'remote_apply'].includes(synchronous_commit)) return
  throw new GatewayError('database_unsuitable', `synchronous_commit is ${synchronous_commit}, not on.`)
}

/** Timeout of a statement outside of write transactions, in milliseconds. Otherwise the server would go on after the gateway has given up. */
export const STATEMENT_TIMEOUT_MS = 29_000

/**
 * Explicit, since a server can have other defaults. A snapshot from before the lock would not include the commit that it waited for. A
 * timeout would also cut the wait for a standby short.
 */
export const BEGIN_WRITE = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0'

/** Settings that are applied to each connection. */
export interface SessionOptions {
  /** Lock timeout of a write, in milliseconds. */
  readonly lockTimeoutMs: number
}

/** Server settings, read back once a connection is set up. */
interface Session {
  readonly synchronous_commit: string
  readonly fsync: string
  readonly encoding: string
  readonly version: string
  readonly version_num: number
  readonly recovering: boolean
  readonly read_only: string
  readonly backend: number
}

/**
 * SQL for the settings of a connection. If a host vanishes during a transaction, it blocks all others until the server has noticed, hence the
 * short timeouts: after 7 seconds another host consumes what it has returned to the queue. Sequential and bitmap scans are disabled because the
 * planner has no statistics of a table that has just started to grow.
 */
const sessionSettings = ({ schema }: PostgresAddress, { lockTimeoutMs }: SessionOptions): string => `
${durableCommitSql(false)};
SET client_encoding = 'UTF8';
SET search_path = "${schema}";
SET lock_timeout = ${lockTimeoutMs};
SET statement_timeout = ${STATEMENT_TIMEOUT_MS};
SET idle_in_transaction_session_timeout = 7000;
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 20000;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET jit = off`

const SESSION = `SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
current_setting('server_encoding') AS encoding, current_setting('server_version') AS version,
current_setting('server_version_num')::int AS version_num, pg_is_in_recovery() AS recovering,
current_setting('transaction_read_only') AS read_only, pg_backend_pid() AS backend`

const TIMELINE = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline'

/** From the most to the least informative: some managed services do not allow these functions. */
const TIMELINE_QUERIES = [
  `SELECT ${TIMELINE}, system_identifier::text AS cluster FROM pg_control_system()`,
  `SELECT ${TIMELINE}, NULL AS cluster`,
]

const selectTimeline = async (client: Client): Promise<ServerTimeline | null> => {
  for (const query of TIMELINE_QUERIES) {
    const result = await client.query<ServerTimeline>(query).catch((error: unknown) => {
      if (isSqlState(error)) return null
      throw error
    })
    if (result !== null) return result.rows[0]!
  }
  return null
}

const timelines = new WeakMap<Client, ServerTimeline>()

/** Returns the timeline of the server of a connection, or null if the server does not report it. */
export const getTimeline = (client: Client): ServerTimeline | null => timelines.get(client) ?? null

/** Returns the eight digits of the timeline, as the row of `header` has them; null if unknown. */
export const getTimelineId = (client: Client): string | null => getTimeline(client)?.timeline ?? null

const backends = new WeakMap<Client, number>()

/** Returns the process id of the server process that the connection was set up with. */
export const getBackendPid = (client: Client): number => backends.get(client)!

/**
 * Applies the settings to a new connection, and reads back those that the guarantees depend on.
 *
 * @throws GatewayError database_read_only or database_unsuitable
 */
export const setUpSession = async (
  client: Client,
  address: PostgresAddress,
  options: SessionOptions,
): Promise<{ readonly fsync: boolean }> => {
  await client.query(sessionSettings(address, options))
  const { rows } = await client.query<Session>(SESSION)
  const session = rows[0]!
  if (session.recovering || session.read_only === 'on') {
    throw new GatewayError('database_read_only', 'The server is a standby or read-only.')
  }
  assertDurableCommit(session.synchronous_commit)
  if (session.encoding !== 'UTF8') {
    throw new GatewayError('database_unsuitable', `The database has the encoding ${session.encoding}, not UTF8.`)
  }
  if (session.version_num < MIN_SERVER_VERSION) {
    throw new GatewayError(
      'database_unsuitable',
      `The server is PostgreSQL ${session.version}; 12 is the oldest supported version.`,
    )
  }
  backends.set(client, session.backend)
  const timeline = await selectTimeline(client)
  if (timeline !== null) timelines.set(client, timeline)
  return { fsync: session.fsync === 'on' }
}
