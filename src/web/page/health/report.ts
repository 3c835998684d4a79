/** What `/api/health` says; see docs/PROTOCOL.md. */
export interface Report {
  readonly mode: string
  readonly version: string
  readonly server_time: string
  readonly ready: boolean
  readonly faults: readonly SharedFault[]
  readonly workers_expected: number
  readonly workers: readonly WorkerState[]
  readonly now: Readonly<Record<SampleName, number | null>>
  readonly lag_since: string | null
  readonly totals: { readonly stored: number; readonly duplicates: number; readonly rejected: number }
  readonly readers: Readonly<Record<'live' | 'catching_up' | 'stalled' | 'channels', number>>
  readonly queue: { readonly ready: number; readonly consumers: number | null; readonly dead: number | null } | null
  readonly database: Readonly<Record<'bytes' | 'wal_bytes' | 'disk_free_bytes', number | null>>
  readonly sampled_since: string
  readonly sample_seconds: number
  readonly quarantine: QuarantineCount | null
  readonly samples: Samples
}

export interface SharedFault {
  readonly component: string
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly since: string
  readonly workers: readonly number[]
}

export interface WorkerState {
  readonly worker: number
  readonly pid: number
  readonly answers: boolean
  readonly ready: boolean | null
  readonly started_at: string | null
  readonly readers: number | null
  readonly memory_bytes: number | null
  readonly event_loop_delay_seconds: number | null
}

export type SampleName =
  | 'stored_per_second'
  | 'rejected_per_second'
  | 'delivered_per_second'
  | 'lag_seconds'
  | 'queue_ready'
  | 'readers'
  | 'readers_stalled'
  | 'event_loop_delay_seconds'
  | 'wal_bytes'

/** By column; times are milliseconds since 1970. */
export type Samples = { readonly at: readonly number[] } & {
  readonly [Name in SampleName]: readonly (number | null)[]
}

export interface QuarantineCount {
  readonly rows: number
  /** There are more than were counted. */
  readonly more: boolean
  readonly last_rejected_id: number
  readonly reasons: readonly { readonly reason: string; readonly rows: number; readonly hint: string }[]
}

/** A row of `/api/rejected`. */
export interface RejectedLine {
  readonly rejected_id: number
  readonly received_at: string
  readonly reason: string
  readonly detail: string
  readonly exchange: string
  readonly routing_key: string
  readonly body_bytes: number
  readonly sha256: string
}

/** What became of a row that was offered again. */
export interface ReplayResult {
  readonly rejected_id: number
  readonly kind: 'stored' | 'duplicate' | 'kept' | 'gone'
  readonly db_id?: number
  readonly event_id?: string
  readonly reason?: string
  readonly detail?: string
}

const HOUR_MS = 3_600_000

/** Samples with later ones behind them, as far as they lie in the hour before the last. */
export const mergeSamples = (known: Samples | null, more: Samples): Samples => {
  if (known === null) return more
  const last = known.at.at(-1) ?? 0
  const from = more.at.findIndex((at) => at > last)
  const fresh = from < 0 ? more.at.length : from
  const newest = more.at.at(-1) ?? last
  const kept = known.at.findIndex((at) => at > newest - HOUR_MS)
  const old = kept < 0 ? known.at.length : kept
  // The same object means the same drawing.
  if (old === 0 && fresh === more.at.length) return known
  const join = <Value>(one: readonly Value[], other: readonly Value[]) => [...one.slice(old), ...other.slice(fresh)]
  const names = Object.keys(more) as (keyof Samples)[]
  return Object.fromEntries(
    names.map((name) => [name, join<number | null>(known[name], more[name])]),
  ) as unknown as Samples
}
