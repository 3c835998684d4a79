type Listener = () => void

/**
 * "The log has grown." Only a hint (D1): it may be lost, doubled or late, and who hears it reads the log;
 * a slow poll stands behind it. Inside one process it is a plain call.
 */
export class Bell {
  readonly #listeners = new Set<Listener>()

  /** @returns a function that takes the listener off again */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  ring(): void {
    for (const listener of this.#listeners) listener()
  }
}
