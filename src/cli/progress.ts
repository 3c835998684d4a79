/** The part of an output that a progress bar uses. */
export interface ProgressOutput {
  readonly isTerminal: boolean
  readonly columns: number
  print(text: string): void
}

/** Minimum time between two redraws, in milliseconds. */
const REDRAW_MS = 100
const BAR = 24
/** Window over which the rate is measured, in milliseconds. */
const RATE_MS = 3_000

/** Moves the cursor to the start of the line and clears it. */
const CLEAR_LINE = '\r\x1b[K'

export interface ProgressState {
  /** Activity, such as `publishing`. */
  readonly what: string
  readonly done: number
  /** null if unknown. */
  readonly total: number | null
  /** Completed fraction from 0 to 1, if it is known without a total. */
  readonly share?: number | null
  /** Unit of the counts, such as `MB`. */
  readonly unit?: string
  /** Failures, included in `done`. */
  readonly failed: number
}

const clock = (seconds: number): string =>
  seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`

const grouped = (value: number): string => Math.round(value).toLocaleString('en')

/** Formats the progress line. `rate` is per second. Pure. */
export const progressLine = ({ what, done, total, share, unit, failed }: ProgressState, rate: number): string => {
  const of = unit === undefined ? '' : ` ${unit}`
  const count = total === null ? grouped(done) : `${grouped(done)} of ${grouped(total)}`
  const parts = [`${what} ${count}${of}`, `${grouped(rate)}${of}/s`]
  if (failed > 0) parts.push(`${grouped(failed)} failed`)
  const part = total === null ? (share ?? null) : total === 0 ? 1 : done / total
  if (part === null) return parts.join(', ')
  if (rate > 0 && part > 0 && part < 1) parts.push(`${clock((done * (1 - part)) / part / rate)} left`)
  const filled = Math.min(BAR, Math.round(BAR * part))
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${parts.join(', ')}`
}

/** Progress line at the bottom of a terminal; does nothing if the output is not a terminal. */
export class ProgressReporter {
  readonly #screen: ProgressOutput
  #shown = false
  #drawnAt = Number.NEGATIVE_INFINITY
  #samples: { at: number; done: number }[] = []

  constructor(screen: ProgressOutput) {
    this.#screen = screen
  }

  /** Draws the progress, at most ten times per second. */
  show(work: ProgressState, now = performance.now()): void {
    if (!this.#screen.isTerminal || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const line = progressLine(work, this.#rate(work.done, now))
    this.#screen.print(`${CLEAR_LINE}${line.slice(0, this.#screen.columns - 1)}`)
    this.#shown = true
  }

  /** Removes the line so that other output can be written; the next `show` draws it again. */
  clear(): void {
    if (!this.#shown) return
    this.#screen.print(CLEAR_LINE)
    this.#shown = false
    this.#drawnAt = Number.NEGATIVE_INFINITY
  }

  #rate(done: number, now: number): number {
    this.#samples.push({ at: now, done })
    while (this.#samples.length > 2 && now - this.#samples[0]!.at > RATE_MS) this.#samples.shift()
    const first = this.#samples[0]!
    return now === first.at ? 0 : ((done - first.done) * 1_000) / (now - first.at)
  }
}
