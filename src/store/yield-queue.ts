/** FIFO queue that runs one step per event-loop iteration, so that long scans do not block other work. */
export class YieldQueue {
  readonly #waiting: (() => void)[] = []

  /** Resolves when it is the caller's turn. Its step lasts until its next `await`. */
  yieldTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) setImmediate(this.#runNext)
    })
  }

  readonly #runNext = (): void => {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) setImmediate(this.#runNext)
  }
}
