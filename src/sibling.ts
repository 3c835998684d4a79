import type { Siblings } from './access.ts'
import { isMessage, type Message } from './cluster.ts'
import type { Answer, Ask } from './http/desk.ts'
import { SharedBell } from './log/bell.ts'
import type { Revocation } from './log/log.ts'
import { GatewayError } from './message/errors.ts'

/** The primary answers with the figures of all workers within this, or /metrics shows none. */
const METRICS_MS = 6_000
/** The same for the desk, or the request that asks is refused. */
const DESK_MS = 5_000

interface Question {
  readonly ask: Ask
  readonly settle: (answer: Answer) => void
}

/** A worker's side of what primary and workers say to each other. */
export class Sibling implements Siblings {
  readonly bell = new SharedBell(() => tell({ gateway: 'bell' }))
  readonly #asked = new Map<number, (text: string) => void>()
  readonly #questions = new Map<number, readonly Question[]>()
  #waiting: Question[] = []
  #onRevocation: (revocation: Revocation) => void = () => undefined
  #asking = 0

  constructor() {
    process.on('message', (message: unknown) => {
      if (!isMessage(message)) return
      if (message.gateway === 'bell') this.bell.heard()
      else if (message.gateway === 'revocation') this.#onRevocation(message.revocation)
      else if (message.gateway === 'answer') this.#answered(message.id, message.answers)
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

  /** Asks the desk of the primary. @throws GatewayError overloaded when it does not answer in time */
  readonly ask = (ask: Ask): Promise<Answer> =>
    new Promise((resolve, reject) => {
      let late = false
      const timer = setTimeout(() => {
        late = true
        reject(new GatewayError('overloaded', 'The primary did not answer in time.'))
      }, DESK_MS)
      const settle = (answer: Answer): void => {
        clearTimeout(timer)
        resolve(answer)
        // Nobody waits for this place any more.
        if (late && answer.ok && ask.do === 'enter') {
          void this.ask({ do: 'leave', keys: ask.keys.map(([key]) => key) }).catch(() => undefined)
        }
      }
      // Ten thousand readers who come back at once must not cost as many messages.
      if (this.#waiting.push({ ask, settle }) === 1) setImmediate(() => this.#sendQuestions())
    })

  readonly tellRevocation = (revocation: Revocation): void => tell({ gateway: 'revocation', revocation })

  readonly onRevocation = (listener: (revocation: Revocation) => void): void => {
    this.#onRevocation = listener
  }

  #sendQuestions(): void {
    const id = ++this.#asking
    const questions = this.#waiting
    this.#waiting = []
    this.#questions.set(id, questions)
    tell({ gateway: 'ask', id, asks: questions.map(({ ask }) => ask) })
  }

  #answered(id: number, answers: readonly Answer[]): void {
    for (const [index, { settle }] of (this.#questions.get(id) ?? []).entries()) settle(answers[index]!)
    this.#questions.delete(id)
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
