import cluster from 'node:cluster'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import type { HealthReport } from '../monitoring/report.ts'
import type { WorkerReport } from '../monitoring/worker-status.ts'
import { ClusterChangeNotifier } from '../store/change-notifier.ts'
import type { Revocation } from '../store/store.ts'
import type { CoordinatorClient, CoordinatorRequest, CoordinatorResponse } from './coordinator.ts'
import { type ClusterMessage, isClusterMessage } from './messages.ts'

/** Interval of the heartbeats to the primary, in milliseconds. */
const HEARTBEAT_MS = 500
/** Timeout for the metrics of all workers, in milliseconds; /metrics fails after that. */
const METRICS_MS = 6_000
/** Timeout for the status of all workers, in milliseconds. The primary waits up to 2 s for the workers. */
const OVERVIEW_MS = 5_000
/** Timeout for a response of the coordinator, in milliseconds; the HTTP request is refused after that. */
const COORDINATOR_TIMEOUT_MS = 5_000

const primaryTimeout = (): GatewayError => new GatewayError('overloaded', 'The primary did not answer in time.')

interface PendingRequest {
  readonly ask: CoordinatorRequest
  readonly settle: (answer: CoordinatorResponse) => void
  /** Called if the primary is gone. */
  readonly onPrimaryExit: () => void
}

/**
 * True for requests that succeed without a primary: limits end with this process, which is about to stop, and a stream
 * that is refused with an error instead of being closed in order would not be opened again by an EventSource.
 */
const isLimit = ({ do: kind }: CoordinatorRequest): boolean => kind === 'enter' || kind === 'leave' || kind === 'spend'

/** Communication between workers. Not needed by a single process. */
export interface ClusterPeers {
  readonly request: CoordinatorClient
  readonly broadcastRevocation: (revocation: Revocation) => void
  /** Sets the listener for revocations that other workers broadcast. */
  readonly onRevocation: (listener: (revocation: Revocation) => void) => void
}

/** Why a worker must stop. */
export type DrainReason = 'drain' | 'signal' | 'primary_exited'

/** The worker's end of the communication with the primary. */
export class ClusterWorker implements ClusterPeers {
  readonly bell = new ClusterChangeNotifier(() => void sendToPrimary({ gateway: 'bell' }))
  readonly #asked = new Map<number, PromiseWithResolvers<ClusterMessage>>()
  readonly #questions = new Map<number, readonly PendingRequest[]>()
  #waiting: PendingRequest[] = []
  #onRevocation: (revocation: Revocation) => void = noop
  #onUnresponsive: (error: GatewayError | null) => void = noop
  #vitals: (() => Promise<WorkerReport>) | null = null
  #asking = 0

  constructor() {
    process.on('disconnect', () => {
      for (const { onPrimaryExit } of [...this.#questions.values(), this.#waiting].flat()) onPrimaryExit()
      for (const { reject } of this.#asked.values()) reject(primaryTimeout())
    })
    process.on('message', (message: unknown) => {
      if (!isClusterMessage(message)) return
      if (message.gateway === 'bell') this.bell.emit()
      else if (message.gateway === 'revocation') this.#onRevocation(message.revocation)
      else if (message.gateway === 'unresponsive') this.#unresponsive(message.text)
      else if (message.gateway === 'answer') this.#answered(message.id, message.answers)
      else if (message.gateway === 'vitals') void this.sendStatus(message.id)
      else if (message.gateway === 'metrics' || message.gateway === 'overview')
        this.#asked.get(message.id)?.resolve(message)
    })
  }

  /**
   * Returns the metrics of all workers, collected by the primary.
   *
   * @throws GatewayError overloaded if it does not reply in time
   */
  async metricsText(): Promise<string> {
    const answer = await this.#askPrimary((id) => ({ gateway: 'metrics', id }), METRICS_MS)
    return answer.gateway === 'metrics' ? (answer.text ?? '') : ''
  }

  /**
   * Returns the status of all workers and the samples of the last hour.
   *
   * @throws GatewayError overloaded if the primary does not reply in time
   */
  readonly overview = async (after: number): Promise<HealthReport> => {
    const answer = await this.#askPrimary((id) => ({ gateway: 'overview', id, after }), OVERVIEW_MS)
    if (answer.gateway === 'overview' && answer.overview !== undefined) return answer.overview
    throw primaryTimeout()
  }

  /** Sets the function that returns the status of this worker when the primary requests it. */
  onStatusRequest(read: () => Promise<WorkerReport>): void {
    this.#vitals = read
  }

  /** Sets the listener for workers that do not respond; null once all do again. */
  onUnresponsive(listener: (error: GatewayError | null) => void): void {
    this.#onUnresponsive = listener
  }

  #unresponsive(text: string | null): void {
    this.#onUnresponsive(text === null ? null : new GatewayError('worker_unresponsive', text))
  }

  /** Sends the status of this worker to the primary. Resolves once it is sent. @param id the request, 0 without one */
  async sendStatus(id = 0): Promise<void> {
    if (this.#vitals !== null) await sendToPrimary({ gateway: 'vitals', id, vitals: await this.#vitals() })
  }

  /** Sends a request to the coordinator in the primary. @throws GatewayError overloaded if it does not reply in time */
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
        // The caller has timed out, so release the slot that was just acquired.
        if (late && answer.ok && ask.do === 'enter') {
          void this.request({ do: 'leave', keys: ask.keys.map(([key]) => key) }).catch(noop)
        }
      }
      const onPrimaryExit = (): void => {
        clearTimeout(timer)
        if (isLimit(ask)) resolve({ ok: true })
        else reject(primaryTimeout())
      }
      if (!process.connected) return onPrimaryExit()
      // Batch requests, so that ten thousand reconnecting subscribers do not cost as many messages.
      if (this.#waiting.push({ ask, settle, onPrimaryExit }) === 1) setImmediate(() => this.#sendQuestions())
    })

  readonly broadcastRevocation = (revocation: Revocation): void =>
    void sendToPrimary({ gateway: 'revocation', revocation })

  readonly onRevocation = (listener: (revocation: Revocation) => void): void => {
    this.#onRevocation = listener
  }

  async #askPrimary(question: (id: number) => ClusterMessage, timeoutMs: number): Promise<ClusterMessage> {
    if (!process.connected) throw primaryTimeout()
    const id = ++this.#asking
    const answer = Promise.withResolvers<ClusterMessage>()
    const timer = setTimeout(() => answer.reject(primaryTimeout()), timeoutMs)
    this.#asked.set(id, answer)
    void sendToPrimary(question(id))
    return answer.promise.finally(() => {
      clearTimeout(timer)
      this.#asked.delete(id)
    })
  }

  #sendQuestions(): void {
    const id = ++this.#asking
    const questions = this.#waiting
    this.#waiting = []
    this.#questions.set(id, questions)
    void sendToPrimary({ gateway: 'ask', id, asks: questions.map(({ ask }) => ask) })
  }

  #answered(id: number, answers: readonly CoordinatorResponse[]): void {
    for (const [index, { settle }] of (this.#questions.get(id) ?? []).entries()) settle(answers[index]!)
    this.#questions.delete(id)
  }

  /** Reports that this worker serves requests. From then on it must send heartbeats. */
  listening(url: string): void {
    void sendToPrimary({ gateway: 'listening', url })
    setInterval(() => void sendToPrimary({ gateway: 'heartbeat' }), HEARTBEAT_MS).unref()
  }

  /**
   * Resolves when this worker must stop: the primary sends `drain`, the worker itself receives a SIGTERM, or the
   * primary has exited.
   *
   * @param onRefuse called when the worker must accept no more connections
   */
  waitForDrain(onRefuse: () => void): Promise<DrainReason> {
    return new Promise((resolve) => {
      // Otherwise node:cluster would end this process at once when the primary is gone.
      cluster.worker!.exitedAfterDisconnect = true
      process.on('message', (message: unknown) => {
        if (!isClusterMessage(message)) return
        if (message.gateway === 'refuse') onRefuse()
        if (message.gateway === 'drain') resolve('drain')
      })
      process.on('SIGTERM', () => resolve('signal'))
      // A terminal sends SIGINT to the whole process group; the primary drains the workers in its own order.
      process.on('SIGINT', noop)
      process.on('disconnect', () => resolve('primary_exited'))
    })
  }
}

/** Resolves once the message is written, or the primary is gone, which `disconnect` reports. */
const sendToPrimary = (message: ClusterMessage): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve())
    else resolve()
  })
