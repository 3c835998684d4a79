/** What each process writes about itself for the others, as JSON. One of another version can have other members. */
export interface GatewayStatus {
  readonly host: string
  readonly port: number
  /** The process that all workers of a gateway have in common. */
  readonly pid: number
  readonly version: string
  readonly schema_version: number
  readonly ready: boolean
  /** Whether it consumes the queue; null without a broker. */
  readonly consumes: boolean | null
  /** Milliseconds since it stored a message of the queue; null if it has not since its start. */
  readonly received_ms: number | null
  readonly clock_offset_ms: number
  readonly retention_days: number | null
  readonly retention_messages_per_event: number | null
  readonly readers: number
}

/** A process and the milliseconds since it was last seen. */
export interface SeenProcess {
  readonly status: GatewayStatus
  readonly age_ms: number
  /** True for the process that makes the report. */
  readonly own: boolean
}

/** A gateway: one process, or all workers of one host. */
export interface ClusterGateway {
  /** `host:port`. */
  readonly gateway: string
  /** True for the gateway that makes the report. */
  readonly own: boolean
  /** False if it was not seen for seconds. */
  readonly live: boolean
  readonly ready: boolean
  readonly workers: number
  readonly version: string
  readonly schema_version: number
  /** `active` receives the messages, `waiting` would take over, `none` does not consume; null without a broker. */
  readonly consumer: 'active' | 'waiting' | 'none' | null
  readonly clock_offset_seconds: number
  /** null if messages are kept. */
  readonly retention_days: number | null
  readonly retention_messages_per_event: number | null
  readonly readers: number
  readonly last_seen_seconds: number
}

/** Result of one check of a cluster. The page translates it by `code`. */
export interface ClusterCheck {
  readonly check: 'database' | 'standby' | 'consumer' | 'gateways' | 'clocks' | 'versions' | 'retention'
  readonly level: 'ok' | 'warning' | 'failed'
  readonly code: string
  /** What was found, in English. */
  readonly text: string
  /** What to do, in English; empty if nothing. */
  readonly hint: string
  /** Gateways, servers or values that the text names. */
  readonly names: readonly string[]
}

/** State of the database, as the checks need it. */
export interface CheckedDatabase {
  readonly schema_version: number
  readonly timeline: number | null
  readonly synchronous_standby_names: string
  readonly standbys: number
  readonly synchronous_standbys: number | null
  readonly servers: readonly { readonly address: string; readonly state: string }[]
}

/** All gateways that share a store. */
export interface ClusterReport {
  /** True if no check has failed. */
  readonly safe: boolean
  readonly gateways: readonly ClusterGateway[]
  /** null with SQLite, and before the first answer of the database. */
  readonly database: CheckedDatabase | null
  readonly checks: readonly ClusterCheck[]
}

/** A gateway that was not seen for this long is gone, in milliseconds. */
const GONE_MS = 10_000
/** A process that stored a message of the queue this shortly before its row receives messages, in milliseconds. */
const RECEIVING_MS = 5_000

/** Parses a row; null if it has no address, and cannot be shown. */
export const parseGatewayStatus = (json: string): GatewayStatus | null => {
  const { host, port, ...rest } = JSON.parse(json) as Partial<GatewayStatus>
  if (typeof host !== 'string' || typeof port !== 'number') return null
  return { ...UNKNOWN, ...rest, host, port }
}

const UNKNOWN = {
  pid: 0,
  version: '',
  schema_version: 0,
  ready: false,
  consumes: null,
  received_ms: null,
  clock_offset_ms: 0,
  retention_days: null,
  retention_messages_per_event: null,
  readers: 0,
}

/** Merges the processes of each gateway, ordered by name. A gateway that was started again replaces what was seen of it before. */
export const mergeProcesses = (processes: readonly SeenProcess[]): ClusterGateway[] => {
  const isLive = ({ age_ms, own }: SeenProcess): boolean => own || age_ms < GONE_MS
  const live = Map.groupBy(processes.filter(isLive), ({ status }) => `${formatAddress(status)} ${status.pid}`)
  const addresses = new Set([...live.values()].map(([one]) => formatAddress(one!.status)))
  const gone = Map.groupBy(
    processes.filter((one) => !isLive(one) && !addresses.has(formatAddress(one.status))),
    ({ status }) => formatAddress(status),
  )
  const active = findActive([...live.values()])
  const merge = (group: readonly SeenProcess[], lives: boolean): ClusterGateway => {
    const [newest] = group.toSorted((one, other) => one.age_ms - other.age_ms)
    const { status } = newest!
    const clock = group.map((one) => one.status.clock_offset_ms).toSorted((a, b) => Math.abs(b) - Math.abs(a))[0]!
    return {
      gateway: formatAddress(status),
      own: group.some(({ own }) => own),
      live: lives,
      ready: lives && group.every((one) => one.status.ready),
      workers: lives ? group.length : 0,
      version: status.version,
      schema_version: status.schema_version,
      consumer: getConsumerState(group, lives, active),
      clock_offset_seconds: clock / 1_000,
      retention_days: status.retention_days,
      retention_messages_per_event: status.retention_messages_per_event,
      readers: lives ? group.reduce((sum, one) => sum + one.status.readers, 0) : 0,
      last_seen_seconds: newest!.own ? 0 : newest!.age_ms / 1_000,
    }
  }
  const merged = [
    ...[...live.values()].map((group) => merge(group, true)),
    ...[...gone.values()].map((group) => merge(group, false)),
  ]
  return merged.toSorted((one, other) => (one.gateway < other.gateway ? -1 : 1))
}

const formatAddress = ({ host, port }: GatewayStatus): string => `${host}:${port}`

const consumes = (group: readonly SeenProcess[]): boolean => group.some(({ status }) => status.consumes === true)

const getConsumerState = (
  group: readonly SeenProcess[],
  lives: boolean,
  active: ReadonlySet<readonly SeenProcess[]>,
): ClusterGateway['consumer'] => {
  if (group.every(({ status }) => status.consumes === null)) return null
  if (!lives || !consumes(group)) return 'none'
  return active.has(group) ? 'active' : 'waiting'
}

/**
 * Returns the gateway that received the last message, and any other that receives messages too. RabbitMQ does not tell a consumer whether
 * it is the active one.
 */
const findActive = (gateways: readonly (readonly SeenProcess[])[]): Set<readonly SeenProcess[]> => {
  const consumers = gateways.filter(consumes)
  if (consumers.length === 1) return new Set(consumers)
  const times = consumers.map((group) => {
    const received = group.flatMap(({ status, age_ms }) =>
      status.received_ms === null ? [] : { sinceMs: age_ms + status.received_ms, beforeRowMs: status.received_ms },
    )
    const sinceMs = Math.min(...received.map((one) => one.sinceMs))
    return { group, sinceMs, receives: received.some(({ beforeRowMs }) => beforeRowMs < RECEIVING_MS) }
  })
  const last = Math.min(...times.map(({ sinceMs }) => sinceMs))
  const isActive = ({ sinceMs, receives }: (typeof times)[number]): boolean => receives || sinceMs === last
  return new Set(last === Number.POSITIVE_INFINITY ? [] : times.filter(isActive).map(({ group }) => group))
}
