import { seededRandom, shuffled } from './random.ts'
import type { FaultKind } from './soak-faults.ts'

export type PlannedFault = {
  readonly kind: FaultKind
  /** A kill while the fault lasts; null if there is none. */
  readonly kill: FaultKind | null
  /** Chooses the victim, from 0 up to 1. */
  readonly pick: number
  /** True if the fault lasts until it is reported, and then for `holdMs`. */
  readonly lasts: boolean
  readonly holdMs: number
  /** Undisturbed time before it. */
  readonly quietMs: number
}

export type SoakPlan = {
  readonly workers: 1 | 3
  /** All faults, without end. */
  readonly faults: Generator<PlannedFault, never>
}

/** Kills that can meet any other fault. */
const KILLS: readonly FaultKind[] = ['worker_killed', 'gateway_killed']
/** Faults whose end needs the gateway that they began with, or that are a kill themselves. */
const ALONE: readonly FaultKind[] = [...KILLS, 'gateway_restarted']

/** Returns the workers and the faults of a seed: each kind comes once before any comes again. */
export const createPlan = (seed: number, kinds: readonly FaultKind[]): SoakPlan => {
  const random = seededRandom(seed)
  const workers = random() < 0.5 ? 1 : 3
  const faults = function* (): Generator<PlannedFault, never> {
    for (;;) {
      for (const kind of shuffled(kinds, random)) {
        const [pick, lasts, quietMs] = [random(), random() < 0.5, random() * 500]
        // With the time until the report, a fault of the store then also lasts longer than the gateway keeps a batch.
        const holdMs = random() * (lasts ? 5_000 : 2_000)
        const possible = ALONE.includes(kind) ? [] : KILLS.filter((one) => kinds.includes(one))
        const draw = random()
        const kill = draw < 0.3 ? (possible[Math.floor((draw / 0.3) * possible.length)] ?? null) : null
        yield { kind, kill, pick, lasts, holdMs, quietMs }
      }
    }
  }
  return { workers, faults: faults() }
}
