type Listener = () => void

/**
 * "The log has grown." Only a hint (D1): it may be lost, doubled or late, and who hears it reads the log;
 * a slow poll stands behind it. Inside one process it is a plain call.
 */
export class ChangeNotifier {
  readonly #listeners = new Set<Listener>()

  /** @returns a function that takes the listener off again */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** This process has committed. */
  notify(): void {
    this.emit()
  }

  /** Somebody has committed. */
  emit(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** Also rings at the sibling workers, at most once in a turn of the event loop. */
export class ClusterChangeNotifier extends ChangeNotifier {
  readonly #send: () => void
  #sending = false

  /** @param send carries the hint to the siblings, who call `heard` */
  constructor(send: () => void) {
    super()
    this.#send = send
  }

  override notify(): void {
    super.notify()
    if (this.#sending) return
    this.#sending = true
    setImmediate(() => {
      this.#sending = false
      this.#send()
    })
  }
}
