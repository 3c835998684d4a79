import type { Client } from 'pg'
import { noop } from '../../core/noop.ts'
import { type ConnectionFactory, destroyConnection } from './connect.ts'
import type { ChangeNotification } from './writer.ts'

/** Between two looks whether the line still stands, in milliseconds. */
const PING_MS = 15_000
const PONG_MS = 10_000
/** Between two attempts to listen again; the connector spreads what comes of them. */
const RECONNECT_MS = 500

export interface ListenerOptions {
  readonly connector: ConnectionFactory
  readonly schema: string
  /** Words that this process has said itself are not for it. */
  readonly instanceId: string
  /** Called at most once for each word in a turn of the event loop. */
  readonly onNotification: (word: ChangeNotification) => void
}

/**
 * Hears what other processes have committed, whatever host they run on. What is said while it does not listen is lost,
 * which is allowed of a hint (D1); when it listens again it passes on both words, for what it may have missed.
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
      // Whoever reads or writes meets the same fault, and names it.
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

  /** A line that is dead without a word would make every message late by the poll. */
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
