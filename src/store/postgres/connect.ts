import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { Client, ClientConfig } from 'pg'
import { backoffDelay } from '../../core/backoff.ts'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { errorCode, postgresError } from './errors.ts'
import type { PostgresAddress, PostgresHost, PostgresTls } from './url.ts'

/** Range of the delay between attempts while no host is available, in milliseconds. */
const BACKOFF_MS = { minMs: 100, maxMs: 5_000 }
/** Oldest supported server version, PostgreSQL 12: it introduced tcp_user_timeout. */
const MIN_SERVER_VERSION = 120_000
const OID_BIGINT = 20

/**
 * SQL that makes a commit durable at the server (L1). `remote_apply` is stricter than `on` and is kept.
 *
 * @param local true for the current transaction only, false for the connection
 */
export const durableCommitSql = (local: boolean): string =>
  `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, ${local})`

/** @throws GatewayError database_unsuitable */
export const assertDurableCommit = (synchronous_commit: string): void => {
  if (['on', 'remote_apply'].includes(synchronous_commit)) return
  throw new GatewayError('database_unsuitable', `synchronous_commit is ${synchronous_commit}, not on.`)
}

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
 * SQL for the settings of a connection. If a host vanishes during a transaction, it
 * blocks all others until the server has noticed, hence the short timeouts. Sequential and bitmap scans are disabled because the planner
 * has no statistics of a table that has just started to grow.
 */
const sessionSettings = ({ schema }: PostgresAddress, { lockTimeoutMs }: SessionOptions): string => `
${durableCommitSql(false)};
SET client_encoding = 'UTF8';
SET search_path = "${schema}";
SET lock_timeout = ${lockTimeoutMs};
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 10000;
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

/** The timeline of the server. It changes when a standby is promoted, and after a point-in-time recovery. */
const TIMELINE = 'SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline'

const timelines = new WeakMap<Client, string>()

/** Returns the timeline of the server of a connection, or null if the server does not report it. */
export const getTimeline = (client: Client): string | null => timelines.get(client) ?? null

const backends = new WeakMap<Client, number>()

/** Returns the process id of the server process that the connection was set up with. */
export const getBackendPid = (client: Client): number => backends.get(client)!

/** Parses bigint as a number: db_ids and times stay below 2^53. */
const types = (getTypeParser: (oid: number, format?: never) => unknown): ClientConfig['types'] =>
  ({
    getTypeParser: (oid: number, format: never) => (oid === OID_BIGINT ? Number : getTypeParser(oid, format)),
  }) as ClientConfig['types']

const readFile = (option: string, file: string | null): { text?: string } => {
  if (file === null) return {}
  try {
    return { text: readFileSync(file, 'utf8') }
  } catch (error) {
    throw new GatewayError('database_tls_failed', `${option} of DATABASE_URL cannot be read.`, { cause: error })
  }
}

/** Returns Node's TLS options for a mode, by libpq's rules. */
const toSslOptions = ({ mode, caFile, certFile, keyFile }: PostgresTls): ConnectionOptions => {
  const { text: ca } = readFile('sslrootcert', caFile)
  const { text: cert } = readFile('sslcert', certFile)
  const { text: key } = readFile('sslkey', keyFile)
  const files = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  }
  if (mode === 'verify-full') return files
  // As in libpq: a configured CA must have signed the certificate, but the host name is not checked.
  if (mode === 'verify-ca' || (mode === 'require' && ca !== undefined)) {
    return { ...files, checkServerIdentity: () => undefined }
  }
  return { ...files, rejectUnauthorized: false }
}

/** TLS options to try for a host, in order; `false` means unencrypted. */
const sslAttempts = (tls: PostgresTls, { host }: PostgresHost): (ConnectionOptions | false)[] => {
  if (tls.mode === 'disable' || host.startsWith('/')) return [false]
  if (tls.mode === 'allow') return [false, toSslOptions(tls)]
  return tls.mode === 'prefer' ? [toSslOptions(tls), false] : [toSslOptions(tls)]
}

/** Returns whether the server does not accept this kind of connection, encrypted or unencrypted. */
const shouldTryOtherSsl = (error: unknown): boolean =>
  errorCode(error) === '28000' || /does not support SSL/.test((error as Error).message)

/** Closes a connection immediately: a dead one would never complete a clean shutdown. */
export const destroyConnection = (client: Client): void => {
  client.connection.stream.destroy()
}

/**
 * Opens connections that are safe for writing (L1), to the first host that accepts writes. While there is none, attempts are made at
 * increasing, jittered intervals; calls in between throw the last error.
 */
export class ConnectionFactory {
  readonly #address: PostgresAddress
  readonly #options: SessionOptions
  readonly #onWarning: (text: string) => void
  #failures = 0
  #notBefore = 0
  #error: GatewayError | null = null
  #hasWarned = false

  constructor(address: PostgresAddress, options: SessionOptions, onWarning: (text: string) => void) {
    this.#address = address
    this.#options = options
    this.#onWarning = onWarning
  }

  /** @throws GatewayError database_* */
  async open(): Promise<Client> {
    if (this.#error !== null && performance.now() < this.#notBefore) throw this.#error
    try {
      const client = await this.#openAny()
      this.#error = null
      this.#failures = 0
      return client
    } catch (error) {
      this.#error = postgresError(error)
      this.#notBefore = performance.now() + backoffDelay(this.#failures++, BACKOFF_MS, Math.random())
      throw this.#error
    }
  }

  async #openAny(): Promise<Client> {
    let firstError: unknown
    for (const host of this.#address.hosts) {
      try {
        return await this.#openHost(host)
      } catch (error) {
        // The error of a standby that responded is more useful than that of an unreachable host.
        if (firstError === undefined || postgresError(firstError).code === 'database_unreachable') firstError = error
      }
    }
    throw firstError
  }

  async #openHost(host: PostgresHost): Promise<Client> {
    const attempts = sslAttempts(this.#address.tls, host)
    for (const [index, ssl] of attempts.entries()) {
      try {
        return await this.#connect(host, ssl)
      } catch (error) {
        if (index === attempts.length - 1 || !shouldTryOtherSsl(error)) throw error
      }
    }
    throw new Error('unreachable')
  }

  async #connect({ host, port }: PostgresHost, ssl: ConnectionOptions | false): Promise<Client> {
    // Imported on demand, so that SQLite users do not load the driver.
    const { default: pg } = await import('pg')
    const { user, password, database, applicationName, connectTimeoutMs } = this.#address
    const client = new pg.Client({
      host,
      port,
      user,
      // A function, since the driver would otherwise look for a password in the environment and in files.
      password: () => password,
      database,
      ssl,
      application_name: applicationName,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      types: types(pg.types.getTypeParser as never),
    })
    // Pending queries fail with the same error; without a listener the process would exit.
    client.on('error', noop)
    const timer = setTimeout(() => destroyConnection(client), connectTimeoutMs + 1_000)
    try {
      await client.connect()
      await this.#setUp(client)
      return client
    } catch (error) {
      destroyConnection(client)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** Applies the settings and reads back those that the guarantees depend on. */
  async #setUp(client: Client): Promise<void> {
    await client.query(sessionSettings(this.#address, this.#options))
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
    // Some managed services do not allow this query.
    const timelineResult = await client.query<{ timeline: string }>(TIMELINE).catch(() => null)
    if (timelineResult !== null) timelines.set(client, timelineResult.rows[0]!.timeline)
    if (session.fsync === 'on' || this.#hasWarned) return
    this.#hasWarned = true
    this.#onWarning('PostgreSQL runs with fsync=off: a crash of its server loses acknowledged messages')
  }
}
