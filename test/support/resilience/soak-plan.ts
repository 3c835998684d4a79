import { seededRandom, shuffled } from './random.ts'
import type { FaultKind } from './soak-faults.ts'

export type PlannedFault = {
  readonly kind: FaultKind
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

/** Returns the workers and the faults of a seed: each kind comes once before any comes again. */
export const planOf = (seed: number, kinds: readonly FaultKind[]): SoakPlan => {
  const random = seededRandom(seed)
  const workers = random() < 0.5 ? 1 : 3
  const faults = function* (): Generator<PlannedFault, never> {
    for (;;) {
      for (const kind of shuffled(kinds, random)) {
        const [pick, lasts, holdMs, quietMs] = [random(), random() < 0.5, random() * 2_000, random() * 500]
        yield { kind, pick, lasts, holdMs, quietMs }
      }
    }
  }
  return { workers, faults: faults() }
}
