import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import type { HealthReport } from '../monitoring/report.ts'
import type { WorkerStatus } from '../monitoring/worker-status.ts'
import { ClusterChangeNotifier } from '../store/change-notifier.ts'
import type { Revocation } from '../store/store.ts'
import type { CoordinatorClient, CoordinatorRequest, CoordinatorResponse } from './coordinator.ts'
import { type ClusterMessage, isClusterMessage } from './messages.ts'

/** The primary answers with the figures of all workers within this, or /metrics shows none. */
const METRICS_MS = 6_000
/** The same for how all workers are, of which the primary waits for each a while. */
const OVERVIEW_MS = 5_000
/** The same for the desk, or the request that asks is refused. */
const COORDINATOR_TIMEOUT_MS = 5_000

const primaryTimeout = (): GatewayError => new GatewayError('overloaded', 'The primary did not answer in time.')

interface PendingRequest {
  readonly ask: CoordinatorRequest
  readonly settle: (answer: CoordinatorResponse) => void
}

/** What workers share with each other; a process alone needs none of it. */
export interface ClusterPeers {
  readonly request: CoordinatorClient
  readonly broadcastRevocation: (revocation: Revocation) => void
  /** Calls back for what a sibling has told. */
  readonly onRevocation: (listener: (revocation: Revocation) => void) => void
}

/** A worker's side of what primary and workers say to each other. */
export class ClusterWorker implements ClusterPeers {
  readonly bell = new ClusterChangeNotifier(() => sendToPrimary({ gateway: 'bell' }))
  readonly #asked = new Map<number, (answer: ClusterMessage) => void>()
  readonly #questions = new Map<number, readonly PendingRequest[]>()
  #waiting: PendingRequest[] = []
  #onRevocation: (revocation: Revocation) => void = noop
  #vitals: (() => Promise<WorkerStatus>) | null = null
  #asking = 0

  constructor() {
    process.on('message', (message: unknown) => {
      if (!isClusterMessage(message)) return
      if (message.gateway === 'bell') this.bell.emit()
      else if (message.gateway === 'revocation') this.#onRevocation(message.revocation)
      else if (message.gateway === 'answer') this.#answered(message.id, message.answers)
      else if (message.gateway === 'vitals') void this.#sayVitals(message.id)
      else if (message.gateway === 'metrics' || message.gateway === 'overview') this.#asked.get(message.id)?.(message)
    })
  }

  /** The figures of all workers, gathered by the primary. @throws GatewayError overloaded when one of them is silent */
  async metricsText(): Promise<string> {
    const answer = await this.#askPrimary((id) => ({ gateway: 'metrics', id }), METRICS_MS)
    return answer.gateway === 'metrics' ? (answer.text ?? '') : ''
  }

  /** How all workers are, and were in the last hour. @throws GatewayError overloaded when the primary does not answer in time */
  readonly overview = async (after: number): Promise<HealthReport> => {
    const answer = await this.#askPrimary((id) => ({ gateway: 'overview', id, after }), OVERVIEW_MS)
    if (answer.gateway === 'overview' && answer.overview !== undefined) return answer.overview
    throw primaryTimeout()
  }

  /** What this worker answers when it is asked how it is. */
  onStatusRequest(read: () => Promise<WorkerStatus>): void {
    this.#vitals = read
  }

  /** Asks the desk of the primary. @throws GatewayError overloaded when it does not answer in time */
  readonly request = (ask: CoordinatorRequest): Promise<CoordinatorResponse> =>
    new Promise((resolve, reject) => {
      let late = false
      const timer = setTimeout(() => {
        late = true
        reject(primaryTimeout())
      }, COORDINATOR_TIMEOUT_MS)
      const settle = (answer: CoordinatorResponse): void => {
        clearTimeout(timer)
        resolve(answer)
        // Nobody waits for this place any more.
        if (late && answer.ok && ask.do === 'enter') {
          void this.request({ do: 'leave', keys: ask.keys.map(([key]) => key) }).catch(noop)
        }
      }
      // Ten thousand readers who come back at once must not cost as many messages.
      if (this.#waiting.push({ ask, settle }) === 1) setImmediate(() => this.#sendQuestions())
    })

  readonly broadcastRevocation = (revocation: Revocation): void => sendToPrimary({ gateway: 'revocation', revocation })

  readonly onRevocation = (listener: (revocation: Revocation) => void): void => {
    this.#onRevocation = listener
  }

  #askPrimary(question: (id: number) => ClusterMessage, timeoutMs: number): Promise<ClusterMessage> {
    const id = ++this.#asking
    return new Promise<ClusterMessage>((resolve, reject) => {
      const timer = setTimeout(() => reject(primaryTimeout()), timeoutMs)
      this.#asked.set(id, (answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
      sendToPrimary(question(id))
    }).finally(() => this.#asked.delete(id))
  }

  async #sayVitals(id: number): Promise<void> {
    if (this.#vitals !== null) sendToPrimary({ gateway: 'vitals', id, vitals: await this.#vitals() })
  }

  #sendQuestions(): void {
    const id = ++this.#asking
    const questions = this.#waiting
    this.#waiting = []
    this.#questions.set(id, questions)
    sendToPrimary({ gateway: 'ask', id, asks: questions.map(({ ask }) => ask) })
  }

  #answered(id: number, answers: readonly CoordinatorResponse[]): void {
    for (const [index, { settle }] of (this.#questions.get(id) ?? []).entries()) settle(answers[index]!)
    this.#questions.delete(id)
  }

  listening(url: string): void {
    sendToPrimary({ gateway: 'listening', url })
  }

  /**
   * Resolves when this worker is to stop: the primary says so, a SIGTERM is meant for it alone, or the primary
   * is gone.
   *
   * @param onRefuse called when no more connections are to be accepted
   */
  waitForDrain(onRefuse: () => void): Promise<void> {
    return new Promise((resolve) => {
      process.on('message', (message: unknown) => {
        if (!isClusterMessage(message)) return
        if (message.gateway === 'refuse') onRefuse()
        if (message.gateway === 'drain') resolve()
      })
      process.on('SIGTERM', () => resolve())
      // A terminal sends it to the whole group; the primary drains the workers in its own order.
      process.on('SIGINT', noop)
      process.on('disconnect', () => resolve())
    })
  }
}

const sendToPrimary = (message: ClusterMessage): void => {
  if (process.connected) process.send?.(message)
}
