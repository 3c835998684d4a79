import type { Sample, Samples } from '../http/overview.ts'

/** Between two samples, in milliseconds. */
export const SAMPLE_MS = 10_000
/** An hour of them. */
const MOST_SAMPLES = 360

const NAMES = [
  'stored_per_second',
  'rejected_per_second',
  'delivered_per_second',
  'lag_seconds',
  'queue_ready',
  'readers',
  'readers_stalled',
  'event_loop_delay_seconds',
  'wal_bytes',
  'workers',
] as const satisfies readonly (keyof Sample)[]

type Columns = Record<(typeof NAMES)[number], (number | null)[]>

/** Numbers of one sample: its time and its columns. */
const WIDTH = NAMES.length + 1

/** The last hour in a ring of fixed size; what is not known is NaN in it. */
export class History {
  readonly #ring = new Float64Array(MOST_SAMPLES * WIDTH)
  /** Samples ever added. */
  #added = 0

  /** @param at milliseconds since 1970 */
  add(at: number, sample: Sample): void {
    const row = (this.#added++ % MOST_SAMPLES) * WIDTH
    this.#ring[row] = at
    for (const [index, name] of NAMES.entries()) this.#ring[row + 1 + index] = sample[name] ?? Number.NaN
  }

  /** The samples later than `after`, oldest first. */
  since(after: number): Samples {
    const at: number[] = []
    const columns = Object.fromEntries(NAMES.map((name) => [name, []])) as unknown as Columns
    for (let index = Math.max(0, this.#added - MOST_SAMPLES); index < this.#added; index++) {
      const row = (index % MOST_SAMPLES) * WIDTH
      const time = this.#ring[row]!
      if (time <= after) continue
      at.push(time)
      for (const [column, name] of NAMES.entries()) columns[name].push(shown(this.#ring[row + 1 + column]!))
    }
    return { at, ...columns }
  }
}

/** No more digits than anybody reads: an hour of samples is sent to each page that opens. */
const shown = (value: number): number | null => (Number.isNaN(value) ? null : Number(value.toPrecision(5)))
