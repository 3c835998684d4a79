import { isMessage, type Message } from './cluster.ts'
import { SharedBell } from './log/bell.ts'

/** The primary answers with the figures of all workers within this, or /metrics shows none. */
const METRICS_MS = 6_000

/** A worker's side of what primary and workers say to each other. */
export class Sibling {
  readonly bell = new SharedBell(() => tell({ gateway: 'bell' }))
  readonly #asked = new Map<number, (text: string) => void>()
  #asking = 0

  constructor() {
    process.on('message', (message: unknown) => {
      if (!isMessage(message)) return
      if (message.gateway === 'bell') this.bell.heard()
      else if (message.gateway === 'metrics') this.#asked.get(message.id)?.(message.text ?? '')
    })
  }

  /** The figures of all workers, gathered by the primary. */
  metricsText(): Promise<string> {
    const id = ++this.#asking
    return new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the primary did not answer in time')), METRICS_MS)
      this.#asked.set(id, (text) => {
        clearTimeout(timer)
        resolve(text)
      })
      tell({ gateway: 'metrics', id })
    }).finally(() => this.#asked.delete(id))
  }

  listening(url: string): void {
    tell({ gateway: 'listening', url })
  }

  /**
   * Resolves when this worker is to stop: the primary says so, a SIGTERM is meant for it alone, or the primary
   * is gone.
   *
   * @param onRefuse called when no more connections are to be accepted
   */
  untilDrain(onRefuse: () => void): Promise<void> {
    return new Promise((resolve) => {
      process.on('message', (message: unknown) => {
        if (!isMessage(message)) return
        if (message.gateway === 'refuse') onRefuse()
        if (message.gateway === 'drain') resolve()
      })
      process.on('SIGTERM', () => resolve())
      // A terminal sends it to the whole group; the primary drains the workers in its own order.
      process.on('SIGINT', () => undefined)
      process.on('disconnect', () => resolve())
    })
  }
}

const tell = (message: Message): void => {
  if (process.connected) process.send?.(message)
}
