/** As much of an output as a progress bar needs. */
export interface ProgressOutput {
  readonly isTerminal: boolean
  readonly columns: number
  print(text: string): void
}

/** Between two drawings, in milliseconds. */
const REDRAW_MS = 100
const BAR = 24
/** The rate is that of about this long, in milliseconds. */
const RATE_MS = 3_000

/** Back to the line's start, and everything behind it away. */
const CLEAR_LINE = '\r\x1b[K'

export interface ProgressState {
  /** What is done to what: `publishing`. */
  readonly what: string
  readonly done: number
  /** null where it is not known. */
  readonly total: number | null
  /** Where the total is not known: how much of the whole is done, from 0 to 1, if that is. */
  readonly share?: number | null
  /** What is counted, where `what` does not say so: `MB`. */
  readonly unit?: string
  /** How many of the done ones failed. */
  readonly failed: number
}

const clock = (seconds: number): string =>
  seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`

const grouped = (value: number): string => Math.round(value).toLocaleString('en')

/** The line that shows work. `rate`: things per second. Pure. */
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

/** A progress line at the foot of a terminal; off a terminal it shows nothing. */
export class ProgressReporter {
  readonly #screen: ProgressOutput
  #shown = false
  #drawnAt = Number.NEGATIVE_INFINITY
  #samples: { at: number; done: number }[] = []

  constructor(screen: ProgressOutput) {
    this.#screen = screen
  }

  /** Shows the work, at most ten times a second. */
  show(work: ProgressState, now = performance.now()): void {
    if (!this.#screen.isTerminal || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const line = progressLine(work, this.#rate(work.done, now))
    this.#screen.print(`${CLEAR_LINE}${line.slice(0, this.#screen.columns - 1)}`)
    this.#shown = true
  }

  /** Takes the line away, so that others can be written; the next `show` draws it again. */
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
