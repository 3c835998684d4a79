import { getRecordedSeconds } from './durations.ts'
import type { Result } from './run-process.ts'
import type { TestRun } from './test-files.ts'

const SLOWEST = 10

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** Prints each run as it ends, with the remaining time, and a summary. */
export class Progress {
  passed = 0
  failed = 0
  skipped = 0
  /** Milliseconds of the passed runs. */
  readonly durations = new Map<string, number>()
  readonly #total: number
  readonly #write: (text: string) => void
  readonly #from = performance.now()
  #done = 0
  /** Recorded durations of the remaining and the completed runs, in seconds. */
  #leftSeconds: number
  #doneSeconds = 0

  constructor(runs: readonly TestRun[], write: (text: string) => void) {
    this.#write = write
    this.#total = runs.length
    this.#leftSeconds = runs.reduce((sum, { name }) => sum + getRecordedSeconds(name), 0)
  }

  /** Counts and prints a completed run. */
  ended({ name }: TestRun, { passed, failed, skipped, problem, output, ms }: Result): void {
    this.passed += passed
    this.failed += failed
    this.skipped += skipped
    if (problem) {
      this.#print('FAIL', name, `${problem}, ${seconds(ms)}`)
      this.#write(`${output.trimEnd()}\n\n`)
      return
    }
    this.durations.set(name, ms)
    this.#print('ok  ', name, `${passed} passed${skipped > 0 ? `, ${skipped} skipped` : ''}, ${seconds(ms)}`)
    for (const line of output.split('\n')) if (line.startsWith('SKIP ')) this.#write(`     ${line}\n`)
  }

  /** Counts and prints a run that could not start. */
  failedToStart({ name }: TestRun, error: Error): void {
    this.failed += 1
    this.#print('FAIL', name, error.message)
  }

  /** Prints the slowest runs. */
  printSlowest(): void {
    const slowest = [...this.durations].sort(([, one], [, other]) => other - one).slice(0, SLOWEST)
    this.#write('\nslowest:\n')
    for (const [name, ms] of slowest) this.#write(`${seconds(ms).padStart(9)}  ${name}\n`)
  }

  #print(verdict: string, name: string, detail: string): void {
    this.#done += 1
    this.#leftSeconds -= getRecordedSeconds(name)
    this.#doneSeconds += getRecordedSeconds(name)
    const count = `${this.#done}/${this.#total}`.padStart(2 * `${this.#total}`.length + 1)
    this.#write(`${verdict} ${count} ${name}: ${detail}${this.#left()}\n`)
  }

  /** Estimates the remaining time from recorded durations and the relative speed of this machine so far. */
  #left(): string {
    if (this.#done < 3 || this.#done === this.#total) return ''
    const left = ((performance.now() - this.#from) / 1000) * (this.#leftSeconds / this.#doneSeconds)
    return left < 90 ? ` (${Math.ceil(left)} s left)` : ` (${Math.round(left / 60)} min left)`
  }
}
