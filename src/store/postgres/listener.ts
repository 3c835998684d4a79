import type { Client } from 'pg'
import { noop } from '../../core/noop.ts'
import { type ConnectionFactory, destroyConnection } from './connect.ts'
import type { ChangeNotification } from './writer.ts'

/** Interval between connection checks, in milliseconds. */
const PING_MS = 15_000
/** Timeout of a connection check, in milliseconds. */
const PONG_MS = 10_000
/** Average delay before a reconnect, in milliseconds; the connection factory adds its own backoff. */
const RECONNECT_MS = 500

export interface ListenerOptions {
  readonly connector: ConnectionFactory
  readonly schema: string
  /** Notifications sent by this instance are ignored. */
  readonly instanceId: string
  /** Called at most once per kind of notification and event-loop iteration. */
  readonly onNotification: (word: ChangeNotification) => void
}

/**
 * Receives notifications that other processes on any host send after a commit. Notifications are lost while it is not connected, which is
 * acceptable for a hint (D1); after each connect it emits both kinds, in case it missed any.
 */
export class NotificationListener {
  readonly #options: ListenerOptions
  readonly #heard = new Set<ChangeNotification>()
  #client: Client | null = null
  #again: NodeJS.Timeout | undefined
  #ping: NodeJS.Timeout | undefined
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
    clearTimeout(this.#again)
    await this.#opening
    clearInterval(this.#ping)
    this.#client?.end().catch(noop)
    this.#client = null
  }

  async #listen(): Promise<void> {
    try {
      const client = await this.#options.connector.open()
      client.on('notification', ({ payload = '' }) => this.#notified(payload))
      client.on('end', () => this.#lost(client))
      this.#client = client
      await client.query(`LISTEN "${this.#options.schema}"`)
      this.#ping = setInterval(() => this.#look(client), PING_MS)
      this.#hear('grown')
      this.#hear('revoked')
    } catch {
      // Ignored: reads and writes get the same error and report it.
      if (this.#client === null) this.#comeAgain()
      else destroyConnection(this.#client)
    }
  }

  #lost(client: Client): void {
    if (this.#client !== client) return
    this.#client = null
    clearInterval(this.#ping)
    this.#comeAgain()
  }

  #comeAgain(): void {
    if (this.#stopped) return
    this.#again = setTimeout(() => this.start(), RECONNECT_MS * (0.5 + Math.random()))
  }

  /** Detects a connection that is dead without an error; otherwise every message would be delayed until the next poll. */
  #look(client: Client): void {
    const late = setTimeout(() => destroyConnection(client), PONG_MS)
    client
      .query('SELECT 1')
      .catch(() => destroyConnection(client))
      .finally(() => clearTimeout(late))
  }

  #notified(payload: string): void {
    const [word, self] = payload.split(' ')
    if ((word === 'grown' || word === 'revoked') && self !== this.#options.instanceId) this.#hear(word)
  }

  #hear(word: ChangeNotification): void {
    if (this.#heard.size === 0) setImmediate(() => this.#passOn())
    this.#heard.add(word)
  }

  #passOn(): void {
    const words = [...this.#heard]
    this.#heard.clear()
    if (!this.#stopped) for (const word of words) this.#options.onNotification(word)
  }
}
