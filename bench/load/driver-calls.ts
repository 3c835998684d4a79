/** What the driver is asked for and what it answers. Times are those of `nowMicros`. */

export interface ConnectOptions {
  readonly protocol: 'sse' | 'socketio' | 'raw'
  readonly port: number
  /** Path of each request (SSE, Socket.IO); reader i takes the i-th, round and round. */
  readonly paths: readonly string[]
  readonly readers: number
  /** `Last-Event-ID` of the readers, round and round like the paths. */
  readonly cursors?: readonly string[]
  /** Connections that may be under way at once; below a listener's usual backlog of 511. */
  readonly inFlight?: number
  /** Every n-th reader measures latencies; 0: none. */
  readonly sampleEvery?: number
  /** Keeps what readers get as text, for few small ones. */
  readonly keep?: boolean
  /** A reader notes when it has got so many messages. */
  readonly goal?: number
}

export interface OpenReport {
  /** From the first connect to the last answer. */
  readonly ms: number
  readonly open: number
  readonly failed: number
  /** `nowMicros` at the first connect. */
  readonly startedAt: number
}

export interface Snapshot {
  /** `nowMicros` at which it was taken. */
  readonly at: number
  readonly messages: number
  readonly bytes: number
  /** Callbacks with bytes: one for each read of a socket. */
  readonly reads: number
  readonly open: number
  readonly closed: number
}

export interface Waited {
  /** Readers that have what was waited for. */
  readonly reached: number
  readonly readers: number
  readonly least: number
  readonly most: number
  /** `nowMicros` of the last message of all. */
  readonly lastAt: number
  /** `nowMicros` at which readers reached their goal, thinned to at most 200, ascending, with how many had by then. */
  readonly goals: readonly (readonly [number, number])[]
}

export interface LatencyReport {
  readonly samples: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
}
