import { SeededRandom } from '../../../src/cli/demo/seeded-random.ts'
import type { Json } from '../harness/wait.ts'

const SAMPLES = 360
const EVERY_MS = 10_000

/**
 * A report of `/api/health` with an hour of generated samples: agents at work, a burst, subscribers that disconnect and
 * reconnect. State, faults and quarantine are unchanged.
 */
export const withHour = (report: Json, now: number): Json => {
  const chance = new SeededRandom(41)
  const wobble = (value: number, by: number): number => Math.max(0, value * (1 + (chance.next() - 0.5) * by))
  const rows = Array.from({ length: SAMPLES }, (_, n) => {
    const burst = Math.exp(-(((n - 236) / 9) ** 2))
    const stored = wobble(14 + 5 * Math.sin(n / 34) + 190 * burst, 0.5)
    const readers = Math.round(38 + 9 * Math.sin(n / 70) - (n > 119 && n < 124 ? 30 : 0))
    return {
      at: now - (SAMPLES - 1 - n) * EVERY_MS,
      stored_per_second: stored,
      rejected_per_second: n % 97 === 40 ? 1.4 : 0,
      delivered_per_second: stored * readers * 0.31,
      lag_seconds: wobble(0.006 + 0.05 * burst, 0.6),
      queue_ready: Math.round(wobble(140 * burst, 0.3)),
      readers,
      readers_stalled: burst > 0.8 ? 1 : 0,
      event_loop_delay_seconds: wobble(0.011 + 0.012 * burst, 0.2),
      wal_bytes: (((n * 41) % 310) / 10 + 1.5) * 1_048_576,
    }
  })
  const last = rows.at(-1)!
  const names = Object.keys(last) as (keyof typeof last)[]
  return {
    ...report,
    now: last,
    samples: Object.fromEntries(names.map((name) => [name, rows.map((row) => row[name])])),
    sampled_since: new Date(now - 26 * 3_600_000).toISOString(),
    readers: { live: last.readers, catching_up: 0, stalled: 0, channels: 12 },
    lag_since: 'publisher',
    totals: { stored: 1_284_031, duplicates: 12, rejected: 4 },
    database: { bytes: 918_552_576, wal_bytes: last.wal_bytes, disk_free_bytes: 221_000_000_000 },
    workers: report.workers.map((worker: Json) => ({
      ...worker,
      readers: last.readers / report.workers.length,
      event_loop_delay_seconds: last.event_loop_delay_seconds / (worker.worker === 1 ? 1 : 1.3),
      started_at: new Date(now - 26 * 3_600_000).toISOString(),
    })),
  }
}
