import type { Client } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import { type ConnectionFactory, destroyConnection } from './connect.ts'
import { isFatal, isSqlState, postgresError, UnsupportedValueError } from './errors.ts'
import { STATEMENT_TIMEOUT_MS } from './server/session.ts'

/** Maximum time that one call can use a connection, in milliseconds: a connection can be dead without an error. */
const MAX_USE_MS = STATEMENT_TIMEOUT_MS + 1_000

const noResponse = (afterMs: number): Error => new Error(`no response within ${afterMs / 1_000} seconds`)

interface PendingAcquire {
  readonly resolve: (client: Client) => void
  readonly reject: (error: unknown) => void
}

/** Connection pool of limited size. Callers queue while no connection is free. */
export class Pool {
  readonly #connector: ConnectionFactory
  readonly #maxConnections: number
  readonly #idle: Client[] = []
  readonly #broken = new WeakSet<Client>()
  readonly #pending: PendingAcquire[] = []
  readonly #inUse = new Set<Client>()
  #openCount = 0
  #silence: GatewayError | null = null
  #onEnded: (() => void) | null = null

  constructor(connector: ConnectionFactory, maxConnections: number) {
    this.#connector = connector
    this.#maxConnections = maxConnections
  }

  /**
   * Calls `use` with a connection of its own. After any failure, including an open transaction or a dead connection, the next caller gets a
   * working connection.
   *
   * @param maxMs timeout of `use`, in milliseconds
   * @param probes true if it runs although the server is known to be silent; `maxMs` then includes the wait for a connection
   * @throws GatewayError storage_* or database_*
   */
  async withConnection<Result>(
    use: (client: Client) => Promise<Result>,
    maxMs = MAX_USE_MS,
    probes = false,
  ): Promise<Result> {
    if (this.#silence !== null && !probes) throw this.#silence
    const startedAt = performance.now()
    const client = await (probes ? this.#acquireWithin(maxMs) : this.#acquire())
    const leftMs = probes ? startedAt + maxMs - performance.now() : maxMs
    this.#inUse.add(client)
    const timer = setTimeout(() => this.#break(client, noResponse(maxMs)), leftMs)
    try {
      return await use(client)
    } catch (error) {
      // Unless the server or this gateway raised the error, the state of the connection is unknown.
      const isSafe = isSqlState(error) || error instanceof GatewayError || error instanceof UnsupportedValueError
      if (!isSafe || isFatal(error) || client.getTransactionStatus() !== 'I') this.#broken.add(client)
      throw postgresError(error)
    } finally {
      clearTimeout(timer)
      this.#inUse.delete(client)
      this.#release(client)
    }
  }

  /**
   * Notes that the server does not respond: the connections are closed, calls in progress fail now instead of after their timeouts, and so
   * do further ones, until this is called with null.
   */
  setSilence(error: GatewayError | null): void {
    this.#silence = error
    if (error === null) return
    for (const pending of this.#pending.splice(0)) pending.reject(error)
    for (const client of this.#inUse) this.#break(client, error)
    for (const client of this.#idle.splice(0)) {
      this.#broken.add(client)
      this.#close(client)
    }
  }

  /** Closes all connections once they are no longer in use. */
  async end(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#onEnded = resolve
    })
    for (const pending of this.#pending.splice(0)) pending.reject(new Error('the store is stopped'))
    for (const client of this.#idle.splice(0)) this.#close(client)
    if (this.#openCount === 0) return
    await ended
  }

  async #acquire(): Promise<Client> {
    if (this.#onEnded !== null) throw new Error('the store is stopped')
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (this.#connector.isCurrent(idle)) return idle
      this.#close(idle)
    }
    if (this.#openCount >= this.#maxConnections) {
      return new Promise((resolve, reject) => this.#pending.push({ resolve, reject }))
    }
    return this.#open()
  }

  /**
   * @throws the error of the last attempt to connect if it failed, otherwise that nothing responds: every connection is in use, or being
   * opened, for longer than a server that responds would need
   */
  #acquireWithin(maxMs: number): Promise<Client> {
    return new Promise((resolve, reject) => {
      let isLate = false
      const timer = setTimeout(() => {
        isLate = true
        reject(this.#connector.error ?? postgresError(noResponse(maxMs)))
      }, maxMs)
      const onAcquired = (client: Client): void => {
        if (isLate) this.#release(client)
        else resolve(client)
      }
      this.#acquire()
        .then(onAcquired, reject)
        .finally(() => clearTimeout(timer))
    })
  }

  async #open(): Promise<Client> {
    this.#openCount++
    try {
      const client = await this.#connector.open()
      client.on('end', () => {
        this.#broken.add(client)
        const at = this.#idle.indexOf(client)
        if (at === -1) return
        this.#idle.splice(at, 1)
        this.#onClosed()
      })
      return client
    } catch (error) {
      this.#onClosed()
      throw error
    }
  }

  #release(client: Client): void {
    if (this.#broken.has(client) || this.#onEnded !== null || !this.#connector.isCurrent(client)) {
      this.#close(client)
      return
    }
    const next = this.#pending.shift()
    if (next === undefined) this.#idle.push(client)
    else next.resolve(client)
  }

  #break(client: Client, cause: Error): void {
    this.#broken.add(client)
    client.connection.stream.destroy(cause)
  }

  #close(client: Client): void {
    if (this.#broken.has(client)) destroyConnection(client)
    // Not awaited: a dead connection never confirms that it is closed.
    else client.end().catch(noop)
    this.#broken.add(client)
    this.#onClosed()
  }

  /** Called after a connection was closed: opens one for the next waiting caller. */
  #onClosed(): void {
    this.#openCount--
    const next = this.#pending.shift()
    if (next !== undefined) this.#open().then(next.resolve, next.reject)
    else if (this.#openCount === 0) this.#onEnded?.()
  }
}
