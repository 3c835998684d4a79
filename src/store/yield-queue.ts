/**
 * Lets long work go on one step at a time, each in a turn of the event loop of its own, whoever does it: between two
 * steps everybody else has theirs. In the order in which they were asked for.
 */
export class YieldQueue {
  readonly #waiting: (() => void)[] = []

  /** Resolves when it is the caller's turn; what it does until its next wait is its step. */
  yieldTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) setImmediate(this.#give)
    })
  }

  readonly #give = (): void => {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) setImmediate(this.#give)
  }
}
