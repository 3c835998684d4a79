import type { Client } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { type ConnectionFactory, destroyConnection } from './connect.ts'
import { isFatal, isSqlState, postgresError, UnsupportedValueError } from './errors.ts'

/** Maximum time that one call can use a connection, in milliseconds: a connection can be dead without an error. */
const MAX_USE_MS = 30_000

interface Waiting {
  readonly resolve: (client: Client) => void
  readonly reject: (error: unknown) => void
}

/** Connection pool of limited size. Callers queue while no connection is free. */
export class Pool {
  readonly #connector: ConnectionFactory
  readonly #most: number
  readonly #idle: Client[] = []
  readonly #dead = new WeakSet<Client>()
  readonly #waiting: Waiting[] = []
  #open = 0
  #ended: (() => void) | null = null

  constructor(connector: ConnectionFactory, most: number) {
    this.#connector = connector
    this.#most = most
  }

  /**
   * Runs `work` on a connection of its own. After any failure, including an open transaction or a dead connection, the next caller gets a
   * working connection.
   *
   * @param maxMs timeout of `work`, in milliseconds
   * @throws GatewayError storage_* or database_*
   */
  async withConnection<Result>(work: (client: Client) => Promise<Result>, maxMs = MAX_USE_MS): Promise<Result> {
    const client = await this.#take()
    const timer = setTimeout(() => {
      this.#dead.add(client)
      client.connection.stream.destroy(new Error(`no response within ${maxMs / 1_000} seconds`))
    }, maxMs)
    try {
      return await work(client)
    } catch (error) {
      // Unless the server or this gateway raised the error, the state of the connection is unknown.
      const known = isSqlState(error) || error instanceof GatewayError || error instanceof UnsupportedValueError
      if (!known || isFatal(error) || client.getTransactionStatus() !== 'I') this.#dead.add(client)
      throw postgresError(error)
    } finally {
      clearTimeout(timer)
      this.#give(client)
    }
  }

  /** Closes all connections once they are no longer in use. */
  async end(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve
    })
    for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error('the store is stopped'))
    for (const client of this.#idle.splice(0)) this.#close(client)
    if (this.#open === 0) return
    await ended
  }

  async #take(): Promise<Client> {
    if (this.#ended !== null) throw new Error('the store is stopped')
    const idle = this.#idle.pop()
    if (idle !== undefined) return idle
    if (this.#open >= this.#most) {
      return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    }
    return this.#make()
  }

  async #make(): Promise<Client> {
    this.#open++
    try {
      const client = await this.#connector.open()
      client.on('end', () => {
        this.#dead.add(client)
        const at = this.#idle.indexOf(client)
        if (at === -1) return
        this.#idle.splice(at, 1)
        this.#closed()
      })
      return client
    } catch (error) {
      this.#closed()
      throw error
    }
  }

  #give(client: Client): void {
    if (this.#dead.has(client) || this.#ended !== null) {
      this.#close(client)
      return
    }
    const next = this.#waiting.shift()
    if (next === undefined) this.#idle.push(client)
    else next.resolve(client)
  }

  #close(client: Client): void {
    if (this.#dead.has(client)) destroyConnection(client)
    // Not awaited: a dead connection never confirms that it is closed.
    else client.end().catch(noop)
    this.#dead.add(client)
    this.#closed()
  }

  /** Called after a connection was closed: opens one for the next waiting caller. */
  #closed(): void {
    this.#open--
    const next = this.#waiting.shift()
    if (next !== undefined) this.#make().then(next.resolve, next.reject)
    else if (this.#open === 0) this.#ended?.()
  }
}
