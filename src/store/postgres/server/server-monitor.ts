import { GatewayError } from '../../../core/errors.ts'
import { SCHEMA_VERSION } from '../../migrations.ts'
import { isSilence, standbyUnavailable } from '../errors.ts'
import type { NotificationListener } from '../listener.ts'
import type { Pool } from '../pool.ts'
import { NO_STATE, SELECT_STATE, type ServerState } from '../queries.ts'
import { assertUsableVersion } from '../schema.ts'
import { ServerClock } from './server-clock.ts'

/** Timeout of a check, in milliseconds. */
const CHECK_MS = 4_000
/** Minimum timeout of a check that is repeated on another connection, in milliseconds. */
const REPEAT_MS = 500

const STANDBY_WAIT = 'A commit waits for a synchronous standby.'

export interface ServerMonitorOptions {
  readonly listener: NotificationListener
  readonly reading: Pool
  readonly writing: Pool
  readonly schema: string
  readonly onWarning: (text: string) => void
}

/** Finds out why the server does not do what is asked of it, and what another gateway has changed. */
export class ServerMonitor {
  readonly #options: ServerMonitorOptions
  readonly #clock: ServerClock
  #isSilent = false
  #warnedOfVersion = false

  constructor(options: ServerMonitorOptions) {
    this.#options = options
    this.#clock = new ServerClock(options.onWarning)
  }

  /** Returns the time of the server, in milliseconds since 1970. */
  now(): number {
    return this.#clock.now()
  }

  /**
   * Checks that the server responds, and that its tables can be used. If it does not respond, all other calls fail too until it does.
   *
   * @param looksForWaits see `state`
   * @throws GatewayError database_unreachable within 5 seconds, database_newer or another error of the server
   */
  async check(looksForWaits: boolean): Promise<ServerState> {
    try {
      const state = await this.state(looksForWaits)
      this.#setSilence(null)
      this.#checkVersion(state.version)
      return state
    } catch (error) {
      if (isSilence(error)) this.#setSilence(error)
      throw error
    }
  }

  /** Runs a query on the connection of the listener, for which nothing waits, or on one for reading if there is none. */
  async query<Row extends object>(sql: string, values: unknown[]): Promise<Row[]> {
    const { listener, reading } = this.#options
    const endsAt = performance.now() + CHECK_MS
    const rows = await listener.query<Row>(sql, values, CHECK_MS)
    if (rows !== null) return rows
    // The connection can have ended by the timeout of an earlier query: a silent server is not waited for twice.
    const leftMs = Math.max(REPEAT_MS, Math.round((endsAt - performance.now()) / 100) * 100)
    try {
      return (await reading.withConnection((client) => client.query<Row>(sql, values), leftMs, true)).rows
    } catch (error) {
      // The connections can all have been in use. The listener can have connected again meanwhile.
      const repeated = isSilence(error) ? await listener.query<Row>(sql, values, REPEAT_MS) : null
      if (repeated === null) throw error
      return repeated
    }
  }

  /** @param looksForWaits true if `waits_for_standby` is needed */
  async state(looksForWaits: boolean): Promise<ServerState> {
    const askedAt = performance.now()
    const state = (await this.query<ServerState>(SELECT_STATE, [looksForWaits]))[0] ?? NO_STATE
    if (state !== NO_STATE) this.#clock.sync(state.now, askedAt)
    return state
  }

  /** Replaces the error of a write by its cause: a commit that waits for a standby keeps the lock of all writers. */
  async explain<Result>(write: Promise<Result>): Promise<Result> {
    try {
      return await write
    } catch (error) {
      const isWait = (error as GatewayError).code === 'storage_busy' || (isSilence(error) && !this.#isSilent)
      const state = isWait ? await this.state(true).catch(() => NO_STATE) : NO_STATE
      throw state.waits_for_standby ? standbyUnavailable(`${STANDBY_WAIT} ${(error as GatewayError).message}`) : error
    }
  }

  #setSilence(error: GatewayError | null): void {
    const { reading, writing } = this.#options
    this.#isSilent = error !== null
    for (const pool of [reading, writing]) pool.setSilence(error)
  }

  #checkVersion(version: number): void {
    const { schema, onWarning } = this.#options
    assertUsableVersion(schema, version)
    if (version <= SCHEMA_VERSION || this.#warnedOfVersion) return
    this.#warnedOfVersion = true
    onWarning(
      `a newer gateway has upgraded the tables: they have version ${version}, this gateway has ${SCHEMA_VERSION}. It goes on, but cannot start again: upgrade it too`,
    )
  }
}

/** Creates the error for a write that has been in progress for too long. */
export const lateWrite = (lateMs: number, waitsForStandby: boolean): GatewayError => {
  const message = `A write has been in progress for ${Math.round(lateMs / 1_000)} seconds.`
  return waitsForStandby
    ? standbyUnavailable(`${STANDBY_WAIT} ${message}`)
    : new GatewayError('storage_unavailable', message)
}
