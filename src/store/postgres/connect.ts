import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { Client, ClientConfig } from 'pg'
import { backoffDelay } from '../../core/backoff.ts'
import { RETRY_NOTE } from '../../core/error-catalogue/definition.ts'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { DatabaseServer } from '../database-state.ts'
import { errorCode, postgresError } from './errors.ts'
import { getTimeline, getTimelineId, type SessionOptions, setUpSession } from './server/session.ts'
import { Timelines } from './server/timelines.ts'
import type { PostgresAddress, PostgresHost, PostgresTls } from './url.ts'

/** Range of the delay between attempts while no host is available, in milliseconds. */
const BACKOFF_MS = { minMs: 100, maxMs: 5_000 }
const OID_BIGINT = 20

/** State of a server by the error of a connection. */
const STATES: Partial<Record<ErrorCode, DatabaseServer['state']>> = {
  database_old_timeline: 'old_primary',
  database_read_only: 'standby',
}

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

/** Returns one of several errors: that of a standby that responded is more useful than that of an unreachable host. */
const mostUseful = (errors: readonly unknown[]): unknown =>
  errors.find((error) => postgresError(error).code !== 'database_unreachable') ?? errors[0]

/**
 * Opens connections that are safe for writing (L1), to the first host that accepts writes. While there is none, attempts are made at
 * increasing, jittered intervals; calls in between throw the last error.
 */
export class ConnectionFactory {
  readonly #address: PostgresAddress
  readonly #options: SessionOptions
  readonly #onWarning: (text: string) => void
  readonly #timelines = new Timelines()
  #hasCompared = false
  /** Warnings that were given. */
  readonly #warnings = new Set<string>()
  #failures = 0
  #notBefore = 0
  #error: GatewayError | null = null

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

  /** Returns false if a server with a newer timeline has been seen since the connection was opened. */
  isCurrent(client: Client): boolean {
    const timeline = getTimeline(client)
    return timeline === null || this.#timelines.isCurrent(timeline)
  }

  /** Error of the last attempt; null if it succeeded. */
  get error(): GatewayError | null {
    return this.#error
  }

  /** Timeline of the server in use; null if it does not report one. */
  get timeline(): number | null {
    return this.#timelines.newest
  }

  /** Connects to each host and returns its state. A server that was promoted since is then used from the next call on. */
  inspectHosts(): Promise<DatabaseServer[]> {
    const inspect = async (host: PostgresHost): Promise<DatabaseServer> => {
      const address = `${host.host}:${host.port}`
      try {
        this.#accept(await this.#openHost(host), host)
          .end()
          .catch(noop)
        return { address, state: 'primary' }
      } catch (error) {
        return { address, state: STATES[postgresError(error).code] ?? 'unreachable' }
      }
    }
    return Promise.all(this.#address.hosts.map(inspect))
  }

  async #openAny(): Promise<Client> {
    const { hosts } = this.#address
    if (!this.#hasCompared && hosts.length > 1) return this.#openNewest()
    const errors: unknown[] = []
    for (const host of hosts) {
      try {
        return this.#accept(await this.#openHost(host), host)
      } catch (error) {
        errors.push(error)
      }
    }
    throw mostUseful(errors)
  }

  /** Compares all hosts, since without a known timeline an old primary that runs again looks like the right server. */
  async #openNewest(): Promise<Client> {
    const opened: { readonly client: Client; readonly host: PostgresHost }[] = []
    const errors: unknown[] = []
    const open = async (host: PostgresHost): Promise<void> => {
      try {
        opened.push({ client: await this.#openHost(host), host })
      } catch (error) {
        errors.push(error)
      }
    }
    const { hosts } = this.#address
    await Promise.all(hosts.map(open))
    const getTimelineNumber = ({ client }: (typeof opened)[number]): number =>
      Number.parseInt(getTimelineId(client) ?? '0', 16)
    opened.sort(
      (one, other) =>
        getTimelineNumber(other) - getTimelineNumber(one) || hosts.indexOf(one.host) - hosts.indexOf(other.host),
    )
    const [newest, ...others] = opened
    if (newest === undefined) throw mostUseful(errors)
    this.#accept(newest.client, newest.host)
    this.#hasCompared = true
    for (const { client, host } of others) {
      try {
        this.#accept(client, host)
      } catch {
        // Its warning is enough: the newest server is used.
      }
      destroyConnection(client)
    }
    return newest.client
  }

  /** @throws GatewayError database_old_timeline; the connection is then closed */
  #accept(client: Client, { host, port }: PostgresHost): Client {
    const timeline = getTimeline(client)
    try {
      if (timeline !== null) this.#timelines.accept(timeline)
      return client
    } catch (error) {
      destroyConnection(client)
      const { message, hint } = error as GatewayError
      this.#warn(`an old primary is not used: ${host}:${port}. ${message} ${hint.replace(RETRY_NOTE, '')}`)
      throw error
    }
  }

  #warn(text: string): void {
    if (!this.#warnings.has(text)) this.#onWarning(text)
    this.#warnings.add(text)
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
      const { fsync } = await setUpSession(client, this.#address, this.#options)
      if (!fsync) this.#warn('PostgreSQL runs with fsync=off: a crash of its server loses acknowledged messages')
      return client
    } catch (error) {
      destroyConnection(client)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}
