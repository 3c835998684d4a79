import type { Client } from 'pg'
import { noop } from '../../core/noop.ts'
import { type ConnectionFactory, destroyConnection } from './connect.ts'
import { isFatal, isSqlState, postgresError } from './errors.ts'
import type { ChangeNotification } from './writer.ts'

/** Average delay before a reconnect, in milliseconds; the connection factory adds its own backoff. */
const RECONNECT_MS = 500

/** First key of the advisory lock that each gateway shares while it is connected: "DSGL". */
const LISTENER_LOCK_CLASS = 0x4453474c

const listenerLock = (schema: string): string => `(${LISTENER_LOCK_CLASS}, hashtext('${schema}'))`

/** SQL that takes the lock of the gateways for this connection alone, without a wait. The row has `locked`: false while a gateway is connected. */
export const tryListenerLockSql = (schema: string): string =>
  `SELECT pg_try_advisory_lock${listenerLock(schema)} AS locked`

export interface ListenerOptions {
  readonly connector: ConnectionFactory
  readonly schema: string
  /** Notifications sent by this instance are ignored. */
  readonly instanceId: string
  /** Called at most once per kind of notification and event-loop iteration. */
  readonly onNotification: (notification: ChangeNotification) => void
  readonly onSessionEnd: (tokenId: string) => void
}

/**
 * Receives notifications that other processes on any host send after a commit. Notifications are lost while it is not connected, which is
 * acceptable for a hint (D1); after each connect it emits both kinds, in case it missed any.
 */
export class NotificationListener {
  readonly #options: ListenerOptions
  readonly #pending = new Set<ChangeNotification>()
  #client: Client | null = null
  #reconnectTimer: NodeJS.Timeout | undefined
  #opening: Promise<void> | null = null
  #stopped = false

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  start(): void {
    this.#opening = this.#listen().finally(() => {
      this.#opening = null
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#reconnectTimer)
    await this.#opening
    this.#client?.end().catch(noop)
    this.#client = null
  }

  /**
   * Runs a query on its connection, for which no read or write is waited for. This also detects that the connection is dead without an error.
   *
   * @param maxMs timeout in milliseconds
   * @returns null if there is no connection
   * @throws GatewayError the error of the server, or database_unreachable if it does not respond
   */
  async query<Row extends object>(sql: string, values: unknown[], maxMs: number): Promise<Row[] | null> {
    const client = this.#client
    if (client === null) return null
    if (!this.#options.connector.isCurrent(client)) {
      destroyConnection(client)
      return null
    }
    let silence: Error | null = null
    const timer = setTimeout(() => {
      silence = new Error(`no response within ${maxMs / 1_000} seconds`)
      client.connection.stream.destroy(silence)
    }, maxMs)
    try {
      return (await client.query<Row>(sql, values)).rows
    } catch (error) {
      if (silence === null && (!isSqlState(error) || isFatal(error))) return null
      throw postgresError(silence ?? error)
    } finally {
      clearTimeout(timer)
    }
  }

  async #listen(): Promise<void> {
    // Errors are ignored: reads and writes get the same ones and report them.
    const client = await this.#options.connector.open().catch(() => null)
    if (client === null) {
      this.#scheduleReconnect()
      return
    }
    client.on('notification', ({ payload = '' }) => this.#onPayload(payload))
    client.on('end', () => this.#onEnd(client))
    this.#client = client
    const { schema } = this.#options
    try {
      await client.query(`LISTEN "${schema}"; SELECT pg_advisory_lock_shared${listenerLock(schema)}`)
      this.#queue('grown')
      this.#queue('revoked')
    } catch {
      destroyConnection(client)
      // Its event `end` can come before or after the error of the query.
      this.#onEnd(client)
    }
  }

  #onEnd(client: Client): void {
    if (this.#client !== client) return
    this.#client = null
    this.#scheduleReconnect()
  }

  #scheduleReconnect(): void {
    if (this.#stopped) return
    this.#reconnectTimer = setTimeout(() => this.start(), RECONNECT_MS * (0.5 + Math.random()))
  }

  #onPayload(payload: string): void {
    const [notification, instanceId, tokenId = ''] = payload.split(' ')
    if (instanceId === this.#options.instanceId) return
    if (notification === 'grown' || notification === 'revoked') this.#queue(notification)
    else if (notification === 'session_ended') this.#options.onSessionEnd(tokenId)
  }

  #queue(notification: ChangeNotification): void {
    if (this.#pending.size === 0) setImmediate(() => this.#flush())
    this.#pending.add(notification)
  }

  #flush(): void {
    const notifications = [...this.#pending]
    this.#pending.clear()
    if (!this.#stopped) for (const notification of notifications) this.#options.onNotification(notification)
  }
}
