import type { Registry } from 'prom-client'
import type { Fault, Health } from './health.ts'
import { type Figures, readFigures } from './metrics-snapshot.ts'

/** How one process is. It crosses from a worker to the primary. */
export interface Vitals {
  /** Milliseconds since 1970. */
  readonly started_at: number
  readonly faults: readonly Fault[]
  readonly figures: Figures
}

/** A process that serves, and what it said of itself; null: it did not answer in time. */
export interface Seen {
  readonly worker: number
  readonly pid: number
  readonly vitals: Vitals | null
}

/** How this process is now; never rejects. */
export const readVitals = async (health: Health, registry: Registry): Promise<Vitals> => ({
  started_at: performance.timeOrigin,
  faults: health.faults,
  // Figures that cannot be read, of which /metrics tells, must not hide the faults.
  figures: await readFigures(registry).catch(() => ({})),
})
