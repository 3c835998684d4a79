type Listener = () => void

/**
 * Notifies listeners in this process that messages were committed. A notification is only a hint (D1): it can be lost, duplicated or late,
 * so listeners read the store, and also poll it slowly.
 */
export class ChangeNotifier {
  readonly #listeners = new Set<Listener>()

  /** @returns a function that removes the listener */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Called after this process has committed. */
  notify(): void {
    this.emit()
  }

  /** Notifies the listeners. Called after any process has committed. */
  emit(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** Also notifies the other workers, at most once per event-loop iteration. */
export class ClusterChangeNotifier extends ChangeNotifier {
  readonly #send: () => void
  #sending = false

  /** @param send notifies the other workers, which then call `emit` */
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
