const BAR = 30

/** What goes on: a bar in place on a terminal, one line a step elsewhere. */
export class Progress {
  readonly #steps: number
  readonly #startedAt = performance.now()
  readonly #terminal = process.stderr.isTTY === true
  #done = 0
  #what = ''

  /** @param steps how many there will be */
  constructor(steps: number) {
    this.#steps = steps
  }

  /** Begins the next step. */
  step(what: string): void {
    this.#what = what
    this.#show('')
  }

  /** Something within the present step. */
  say(text: string): void {
    this.#show(text)
  }

  /** The present step is over. */
  done(): void {
    this.#done++
    this.#show('')
  }

  end(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K')
  }

  #show(detail: string): void {
    const share = this.#done / this.#steps
    const seconds = Math.round((performance.now() - this.#startedAt) / 1000)
    const text = `${this.#what}${detail === '' ? '' : `: ${detail}`}`
    if (this.#terminal) {
      const filled = Math.round(share * BAR)
      const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled)
      const line = `${bar} ${Math.round(share * 100)} % ${seconds} s  ${text}`
      process.stderr.write(`\r\x1b[K${line.slice(0, process.stderr.columns - 1)}`)
    } else {
      process.stderr.write(`[${this.#done}/${this.#steps} ${seconds} s] ${text}\n`)
    }
  }
}
