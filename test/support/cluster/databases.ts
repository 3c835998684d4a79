import { limit } from '../harness/limits.ts'
import { until } from '../harness/wait.ts'
import { extractMessageId, type Outcome, type StoredRow } from '../resilience/oracle.ts'
import { type Postgres, queryRows, rejectedIn, startPostgres, startStandby } from '../servers/postgres.ts'
import { type Line, startProxy } from '../servers/proxy.ts'

const SETTINGS = [
  'synchronous_commit=remote_apply',
  // A line that is cut is noticed by both ends, but not a slow machine.
  ...['sender', 'receiver'].map((end) => `wal_${end}_timeout=${limit(10_000)}ms`),
  // The standby comes back soon, and finds what it missed.
  ...['wal_retrieve_retry_interval=500ms', 'wal_keep_size=128MB'],
]

/** Two servers of PostgreSQL: a primary, whose commits wait for its standby. */
export class DatabasePair {
  readonly servers: [Postgres, Postgres]
  /** Through which each server's standby follows it. */
  readonly #replication: readonly [Line, Line]
  #primary: 0 | 1 = 0
  /** True if the one that is not the primary was it before. */
  #isReplaced = false

  private constructor(servers: [Postgres, Postgres], replication: [Line, Line]) {
    this.servers = servers
    this.#replication = replication
  }

  /** @param hosts address of loopback of each server */
  static async start(hosts: readonly [string, string]): Promise<DatabasePair> {
    const servers = [await startPostgres({ host: hosts[0], settings: SETTINGS })] as unknown as [Postgres, Postgres]
    // A server that is rebuilt has another port.
    const lines: [Line, Line] = [await startProxy(() => servers[0]), await startProxy(() => servers[1])]
    const from = { host: '127.0.0.1', port: lines[0].port }
    servers.push(await startStandby(from, { host: hosts[1], settings: SETTINGS }))
    const pair = new DatabasePair(servers, lines)
    await pair.#setStandby('*')
    await pair.ready()
    return pair
  }

  get primary(): Postgres {
    return this.servers[this.#primary]
  }

  get standby(): Postgres {
    return this.servers[1 - this.#primary]!
  }

  /** Cuts the line between primary and standby without a word. @returns what joins them again */
  part(): () => void {
    const line = this.#replication[this.#primary]
    line.freeze()
    return () => line.thaw()
  }

  /** Kills the primary and promotes the standby, whose commits wait for none until it has a standby itself. */
  async failOver(): Promise<void> {
    await this.primary.kill9()
    await queryRows(this.standby.url, 'SELECT pg_promote()')
    this.#primary = this.#primary === 0 ? 1 : 0
    this.#isReplaced = true
    await this.#setStandby('')
  }

  /** Starts a server again; an old primary is rebuilt as a standby, which commits then wait for. */
  async start(server: Postgres): Promise<void> {
    if (server === this.standby && this.#isReplaced) await this.#rebuild()
    else await server.start()
  }

  async #rebuild(): Promise<void> {
    const [old, index] = [this.standby, 1 - this.#primary]
    await old.dispose()
    this.#isReplaced = false
    const from = { host: '127.0.0.1', port: this.#replication[this.#primary].port }
    this.servers[index] = await startStandby(from, { host: old.host, settings: SETTINGS })
    await this.#setStandby('*')
    await this.ready()
  }

  /** Resolves when commits wait for a standby that follows. */
  async ready(): Promise<void> {
    let seen: { state: string }[] = []
    const follows = async (): Promise<boolean> => {
      seen = await queryRows(this.primary.url, 'SELECT sync_state AS state FROM pg_stat_replication')
      return seen.some(({ state }) => state === 'sync')
    }
    await until(follows, { what: 'a synchronous standby', saw: () => seen })
  }

  /** Returns what both hold, and compares it. */
  async stored(): Promise<Pick<Outcome, 'rows' | 'quarantined' | 'integrity'>> {
    const read = ({ url }: Postgres) =>
      queryRows<StoredRow>(url, 'SELECT db_id, event_id, message_id FROM message ORDER BY db_id')
    const [rows, copy] = await Promise.all([read(this.primary), read(this.standby)])
    const isSame = JSON.stringify(rows) === JSON.stringify(copy)
    return {
      rows: rows.map((row) => ({ ...row, db_id: Number(row.db_id) })),
      quarantined: (await rejectedIn(this.primary.url)).map(({ body }) => extractMessageId(body)),
      integrity: isSame ? 'ok' : `the standby has ${copy.length} other rows than these ${rows.length}`,
    }
  }

  /** Ends both in order: the primary sends its standby everything first. */
  async stop(): Promise<void> {
    await this.primary.stop()
    await this.standby.stop()
  }

  async dispose(): Promise<void> {
    for (const server of this.servers) await server.dispose()
    for (const line of this.#replication) await line.close()
  }

  async #setStandby(names: string): Promise<void> {
    await queryRows(this.primary.url, `ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
    await queryRows(this.primary.url, 'SELECT pg_reload_conf()')
  }
}
