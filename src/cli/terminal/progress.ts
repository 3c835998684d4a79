/** The part of an output that a progress bar uses. */
export interface ProgressOutput {
  readonly isTerminal: boolean
  readonly columns: number
  print(text: string): void
}

/** Minimum time between two redraws, in milliseconds. */
const REDRAW_MS = 100
const BAR_WIDTH = 24
/** Window over which the rate is measured, in milliseconds. */
const RATE_WINDOW_MS = 3_000

/** Moves the cursor to the start of the line and clears it. */
const CLEAR_LINE = '\r\x1b[K'

export interface ProgressState {
  /** Activity, such as `publishing`. */
  readonly label: string
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

const formatDuration = (seconds: number): string =>
  seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`

const formatNumber = (value: number): string => Math.round(value).toLocaleString('en')

/** Formats the progress line. `rate` is per second. Pure. */
export const progressLine = ({ label, done, total, share, unit, failed }: ProgressState, rate: number): string => {
  const suffix = unit === undefined ? '' : ` ${unit}`
  const count = total === null ? formatNumber(done) : `${formatNumber(done)} of ${formatNumber(total)}`
  const parts = [`${label} ${count}${suffix}`, `${formatNumber(rate)}${suffix}/s`]
  if (failed > 0) parts.push(`${formatNumber(failed)} failed`)
  const fraction = total === null ? (share ?? null) : total === 0 ? 1 : done / total
  if (fraction === null) return parts.join(', ')
  if (rate > 0 && fraction > 0 && fraction < 1)
    parts.push(`${formatDuration((done * (1 - fraction)) / fraction / rate)} left`)
  const filled = Math.min(BAR_WIDTH, Math.round(BAR_WIDTH * fraction))
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${parts.join(', ')}`
}

/** Progress line at the bottom of a terminal; does nothing if the output is not a terminal. */
export class ProgressReporter {
  readonly #output: ProgressOutput
  #shown = false
  #drawnAt = Number.NEGATIVE_INFINITY
  #samples: { at: number; done: number }[] = []

  constructor(output: ProgressOutput) {
    this.#output = output
  }

  /** Draws the progress, at most ten times per second. */
  show(state: ProgressState, now = performance.now()): void {
    if (!this.#output.isTerminal || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const line = progressLine(state, this.#rate(state.done, now))
    this.#output.print(`${CLEAR_LINE}${line.slice(0, this.#output.columns - 1)}`)
    this.#shown = true
  }

  /** Removes the line so that other output can be written; the next `show` draws it again. */
  clear(): void {
    if (!this.#shown) return
    this.#output.print(CLEAR_LINE)
    this.#shown = false
    this.#drawnAt = Number.NEGATIVE_INFINITY
  }

  #rate(done: number, now: number): number {
    this.#samples.push({ at: now, done })
    while (this.#samples.length > 2 && now - this.#samples[0]!.at > RATE_WINDOW_MS) this.#samples.shift()
    const first = this.#samples[0]!
    return now === first.at ? 0 : ((done - first.done) * 1_000) / (now - first.at)
  }
}
