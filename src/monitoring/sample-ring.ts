import { SAMPLE_FIELDS, type Sample, type Samples } from './samples.ts'

/** Between two samples, in milliseconds. */
export const SAMPLE_INTERVAL_MS = 10_000
/** An hour of them. */
const MAX_SAMPLES = 360

type Columns = Record<keyof Sample, (number | null)[]>

/** Numbers of one sample: its time and its columns. */
const WIDTH = SAMPLE_FIELDS.length + 1

/** The last hour in a ring of fixed size; what is not known is NaN in it. */
export class SampleRing {
  readonly #ring = new Float64Array(MAX_SAMPLES * WIDTH)
  /** Samples ever added. */
  #added = 0

  /** @param at milliseconds since 1970 */
  add(at: number, sample: Sample): void {
    const row = (this.#added++ % MAX_SAMPLES) * WIDTH
    this.#ring[row] = at
    for (const [index, name] of SAMPLE_FIELDS.entries()) this.#ring[row + 1 + index] = sample[name] ?? Number.NaN
  }

  /** The samples later than `after`, oldest first. */
  since(after: number): Samples {
    const at: number[] = []
    const columns = Object.fromEntries(SAMPLE_FIELDS.map((name) => [name, []])) as unknown as Columns
    for (let index = Math.max(0, this.#added - MAX_SAMPLES); index < this.#added; index++) {
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

/** No more digits than anybody reads: an hour of samples is sent to each page that opens. */
const roundForDisplay = (value: number): number | null => (Number.isNaN(value) ? null : Number(value.toPrecision(5)))
