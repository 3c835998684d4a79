/** What is measured of the gateway again and again, by the name that the answer of `/api/health` gives it. */
export const SAMPLE_FIELDS = [
  'stored_per_second',
  'rejected_per_second',
  'delivered_per_second',
  /** 95 of 100 commits ended within this, counted from their oldest delivery. */
  'lag_seconds',
  'queue_ready',
  'readers',
  'readers_stalled',
  /** The 99th percentile of the slowest worker. */
  'event_loop_delay_seconds',
  'wal_bytes',
  'workers',
] as const

type SampleName = (typeof SAMPLE_FIELDS)[number]

/** What was measured over a time; null: not known then. */
export type Sample = Readonly<Record<SampleName, number | null>>

/** The samples of the last hour, oldest first, by column; times are milliseconds since 1970. */
export type Samples = { readonly at: readonly number[] } & Readonly<Record<SampleName, readonly (number | null)[]>>
