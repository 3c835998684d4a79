/** Fields of a sample, by their names in the response of `/api/health`. */
export const SAMPLE_FIELDS = [
  'stored_per_second',
  'rejected_per_second',
  'delivered_per_second',
  /** 95 % of the commits completed within this time, measured from their oldest delivery. */
  'lag_seconds',
  'queue_ready',
  'readers',
  'readers_stalled',
  /** 99th percentile of the slowest worker. */
  'event_loop_delay_seconds',
  'wal_bytes',
  'workers',
] as const

type SampleName = (typeof SAMPLE_FIELDS)[number]

/** Measurements over one interval; a field is null if it is unknown. */
export type Sample = Readonly<Record<SampleName, number | null>>

/** Samples of the last hour by column, oldest first. Times are in milliseconds since 1970. */
export type Samples = { readonly at: readonly number[] } & Readonly<Record<SampleName, readonly (number | null)[]>>
