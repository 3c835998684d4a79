import { noop } from '../../../core/noop.ts'
import type { DatabaseServer, DatabaseState, PeerRow } from '../../database-state.ts'
import type { ConnectionFactory } from '../connect.ts'
import type { PostgresAddress } from '../url.ts'
import { SERVER_TIME } from './server-clock.ts'
import type { ServerMonitor } from './server-monitor.ts'

/** Rows of processes that were not seen for this long are deleted, in milliseconds. */
const FORGET_MS = 10 * 60_000
/** Interval between looks at all servers of DATABASE_URL, in milliseconds. */
const INSPECT_MS = 30_000

type AnnounceRow = Pick<DatabaseState, 'schema_version' | 'synchronous_standby_names' | 'standbys'> & {
  /** Standbys whose state the user may see. */
  readonly visible: number
  readonly synchronous: number
} & { [Column in keyof PeerRow]: PeerRow[Column] | null }

// One statement: it costs one round trip every few seconds in each process. It reads the rows as they were before it.
const ANNOUNCE = `WITH forgotten AS (DELETE FROM gateway WHERE id <> $1 AND seen_at < ${SERVER_TIME} - ${FORGET_MS}),
written AS (
  INSERT INTO gateway (id, seen_at, status) VALUES ($1, ${SERVER_TIME}, $2)
  ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, status = excluded.status
)
SELECT version AS schema_version, current_setting('synchronous_standby_names') AS synchronous_standby_names,
  replication.*, ${SERVER_TIME} - peer.seen_at AS age_ms, peer.status
FROM header CROSS JOIN (
  SELECT count(*) AS standbys, count(state) AS visible,
    count(*) FILTER (WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')) AS synchronous
  FROM pg_stat_replication
) AS replication LEFT JOIN gateway AS peer ON peer.id <> $1`

export interface GatewayTableOptions {
  readonly server: Pick<ServerMonitor, 'query'>
  readonly connector: Pick<ConnectionFactory, 'timeline' | 'inspectHosts'>
  readonly address: Pick<PostgresAddress, 'hosts'>
  /** Id of the row of this process. */
  readonly instanceId: string
}

/** The table of the processes that share the store. */
export class GatewayTable {
  readonly #options: GatewayTableOptions
  #servers: readonly DatabaseServer[] = []
  #inspectAt = 0

  constructor(options: GatewayTableOptions) {
    this.#options = options
  }

  async announce(status: string): Promise<{ peers: PeerRow[]; database: DatabaseState }> {
    const { server, connector, instanceId } = this.#options
    this.#inspectServers()
    const rows = await server.query<AnnounceRow>(ANNOUNCE, [instanceId, status])
    const { schema_version = 0, synchronous_standby_names = '', standbys = 0, visible, synchronous = 0 } = rows[0] ?? {}
    const database = {
      schema_version,
      timeline: connector.timeline,
      synchronous_standby_names,
      standbys,
      synchronous_standbys: visible === standbys ? synchronous : null,
      servers: this.#servers,
    }
    return { peers: rows.filter((row): row is AnnounceRow & PeerRow => row.status !== null), database }
  }

  /** Not awaited: a host that does not respond takes seconds. */
  #inspectServers(): void {
    const { connector, address } = this.#options
    if (address.hosts.length === 1 || performance.now() < this.#inspectAt) return
    this.#inspectAt = performance.now() + INSPECT_MS
    void connector.inspectHosts().then((servers) => {
      this.#servers = servers
    }, noop)
  }
}
