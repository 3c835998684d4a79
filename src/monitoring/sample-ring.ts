import { SAMPLE_FIELDS, type Sample, type Samples } from './samples.ts'

/** Interval between samples, in milliseconds. */
export const SAMPLE_INTERVAL_MS = 10_000
/** One hour. */
const MAX_SAMPLES = 360

type Columns = Record<keyof Sample, (number | null)[]>

/** Numbers per sample: its time and its columns. */
const WIDTH = SAMPLE_FIELDS.length + 1

/** Samples of the last hour in a ring buffer of fixed size. Unknown values are stored as NaN. */
export class SampleRing {
  readonly #ring = new Float64Array(MAX_SAMPLES * WIDTH)
  /** Number of samples ever added. */
  #count = 0

  /** @param at milliseconds since 1970 */
  add(at: number, sample: Sample): void {
    const row = (this.#count++ % MAX_SAMPLES) * WIDTH
    this.#ring[row] = at
    for (const [index, name] of SAMPLE_FIELDS.entries()) this.#ring[row + 1 + index] = sample[name] ?? Number.NaN
  }

  /** Returns the samples later than `after`, oldest first. */
  since(after: number): Samples {
    const at: number[] = []
    const columns = Object.fromEntries(SAMPLE_FIELDS.map((name) => [name, []])) as unknown as Columns
    for (let index = Math.max(0, this.#count - MAX_SAMPLES); index < this.#count; index++) {
      const row = (index % MAX_SAMPLES) * WIDTH
      const time = this.#ring[row]!
      if (time <= after) continue
      at.push(time)
      for (const [column, name] of SAMPLE_FIELDS.entries())
        columns[name].push(roundForDisplay(this.#ring[row + 1 + column]!))
    }
    return { at, ...columns }
  }
}

/** Rounds to 5 digits, since an hour of samples is sent to each page that opens. */
const roundForDisplay = (value: number): number | null => (Number.isNaN(value) ? null : Number(value.toPrecision(5)))
