/** Memory of a delivery besides its body, in bytes. */
const DELIVERY_BYTES = 1_024

/**
 * Bytes of the deliveries that are held between the broker and the store. While the limit is reached, nothing is read from the
 * broker. The prefetch counts messages, and 1,000 of them can take 1 GB.
 */
export class IngestBuffer {
  readonly #maxBytes: number
  #bytes = 0
  #drained: PromiseWithResolvers<void> | null = null

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(bodyBytes: number): void {
    this.#bytes += bodyBytes + DELIVERY_BYTES
  }

  remove(bodyBytes: number): void {
    this.#bytes -= bodyBytes + DELIVERY_BYTES
    if (this.#bytes >= this.#maxBytes) return
    this.#drained?.resolve()
    this.#drained = null
  }

  /** Resolves once more can be read; null if that is now. */
  get full(): Promise<void> | null {
    if (this.#bytes < this.#maxBytes) return null
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }
}
