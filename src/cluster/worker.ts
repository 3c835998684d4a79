import cluster from 'node:cluster'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import type { HealthReport } from '../monitoring/report.ts'
import type { WorkerReport } from '../monitoring/worker-status.ts'
import { ClusterChangeNotifier } from '../store/change-notifier.ts'
import type { Revocation } from '../store/store.ts'
import type { CoordinatorClient, CoordinatorRequest, CoordinatorResponse } from './coordinator.ts'
import { type ClusterMessage, isClusterMessage, type WorkerSettings } from './messages.ts'

/** Interval of the heartbeats to the primary, in milliseconds. */
const HEARTBEAT_MS = 500
/** Timeout for the metrics of all workers, in milliseconds; /metrics fails after that. */
const METRICS_TIMEOUT_MS = 6_000
/** Timeout for the status of all workers, in milliseconds. The primary waits up to 2 s for the workers. */
const HEALTH_REPORT_TIMEOUT_MS = 5_000
/** Timeout for a response of the coordinator, in milliseconds; the HTTP request is refused after that. */
const COORDINATOR_TIMEOUT_MS = 5_000

const primaryTimeout = (): GatewayError => new GatewayError('overloaded', 'The primary did not answer in time.')

interface PendingRequest {
  readonly request: CoordinatorRequest
  readonly settle: (response: CoordinatorResponse) => void
  /** Called if the primary is gone. */
  readonly onPrimaryExit: () => void
}

/**
 * True for requests that succeed without a primary: limits end with this process, which is about to stop, and a stream
 * that is refused with an error instead of being closed in order would not be opened again by an EventSource.
 */
const isLimit = ({ do: kind }: CoordinatorRequest): boolean =>
  kind === 'acquire' || kind === 'release' || kind === 'consume'

/** Communication between workers. Not needed by a single process. */
export interface ClusterPeers {
  readonly request: CoordinatorClient
  readonly broadcastRevocation: (revocation: Revocation) => void
  /** Sets the listener for revocations that other workers broadcast. */
  readonly onRevocation: (listener: (revocation: Revocation) => void) => void
  readonly broadcastSessionEnd: (tokenId: string) => void
  /** Sets the listener for ends of sessions that other workers broadcast. */
  readonly onSessionEnd: (listener: (tokenId: string) => void) => void
  readonly broadcastStoreFault: (error: GatewayError) => void
  /** Sets the listener for faults of the store that other workers broadcast. */
  readonly onStoreFault: (listener: (error: GatewayError) => void) => void
}

/** Status of a worker. */
export interface StatusSource {
  readonly status: () => Promise<WorkerReport>
  /** A number that grows with all that the worker counts, and costs less than the status. */
  readonly counted: () => Promise<number>
}

/** Why a worker must stop. */
export type DrainReason = 'drain' | 'signal' | 'primary_exited'

/** The worker's end of the communication with the primary. */
export class ClusterWorker implements ClusterPeers {
  readonly changes = new ClusterChangeNotifier(() => void sendToPrimary({ gateway: 'log_appended' }))
  readonly #pendingReplies = new Map<number, PromiseWithResolvers<ClusterMessage>>()
  readonly #sentRequests = new Map<number, readonly PendingRequest[]>()
  #queuedRequests: PendingRequest[] = []
  #onRevocation: (revocation: Revocation) => void = noop
  #onSessionEnd: (tokenId: string) => void = noop
  #onStoreFault: (error: GatewayError) => void = noop
  #onUnresponsive: (error: GatewayError | null) => void = noop
  #status: StatusSource | null = null
  /** What this worker had counted when it last sent its status. */
  #sentCount = 0
  #lastId = 0

  constructor() {
    process.on('disconnect', () => {
      for (const { onPrimaryExit } of [...this.#sentRequests.values(), this.#queuedRequests].flat()) onPrimaryExit()
      for (const { reject } of this.#pendingReplies.values()) reject(primaryTimeout())
    })
    process.on('message', (message: unknown) => {
      if (!isClusterMessage(message)) return
      if (message.gateway === 'log_appended') this.changes.emit()
      else if (message.gateway === 'revocation') this.#onRevocation(message.revocation)
      else if (message.gateway === 'session_ended') this.#onSessionEnd(message.tokenId)
      else if (message.gateway === 'store_fault') this.#onStoreFault(new GatewayError(message.code, message.text))
      else if (message.gateway === 'unresponsive') this.#unresponsive(message.text)
      else if (message.gateway === 'coordinator_response') this.#onResponses(message.id, message.responses)
      else if (message.gateway === 'worker_status') void this.#onStatusRequest(message.id)
      else if (message.gateway === 'metrics' || message.gateway === 'health_report')
        this.#pendingReplies.get(message.id)?.resolve(message)
    })
  }

  /**
   * Returns the metrics of all workers, collected by the primary.
   *
   * @throws GatewayError overloaded if it does not reply in time
   */
  async metricsText(): Promise<string> {
    const response = await this.#requestFromPrimary((id) => ({ gateway: 'metrics', id }), METRICS_TIMEOUT_MS)
    return response.gateway === 'metrics' ? (response.text ?? '') : ''
  }

  /**
   * Returns the status of all workers and the samples of the last hour.
   *
   * @throws GatewayError overloaded if the primary does not reply in time
   */
  readonly healthReport = async (after: number): Promise<HealthReport> => {
    const response = await this.#requestFromPrimary(
      (id) => ({ gateway: 'health_report', id, after }),
      HEALTH_REPORT_TIMEOUT_MS,
    )
    if (response.gateway === 'health_report' && response.report !== undefined) return response.report
    throw primaryTimeout()
  }

  /** Sets the source of the status that the primary requests. */
  setStatusSource(source: StatusSource): void {
    this.#status = source
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
    if (this.#status === null) return
    // Before the status, so that nothing counted in between is taken for sent.
    this.#sentCount = await this.#status.counted()
    await sendToPrimary({ gateway: 'worker_status', id, report: await this.#status.status() })
  }

  async #onStatusRequest(id: number): Promise<void> {
    if (id !== 0 || (await this.#status?.counted()) !== this.#sentCount) await this.sendStatus(id)
  }

  /** Sends a request to the coordinator in the primary. @throws GatewayError overloaded if it does not reply in time */
  readonly request = (request: CoordinatorRequest): Promise<CoordinatorResponse> =>
    new Promise((resolve, reject) => {
      let timedOut = false
      const timer = setTimeout(() => {
        timedOut = true
        reject(primaryTimeout())
      }, COORDINATOR_TIMEOUT_MS)
      const settle = (response: CoordinatorResponse): void => {
        clearTimeout(timer)
        resolve(response)
        // The caller has timed out, so release the slot that was just acquired.
        if (timedOut && response.ok && request.do === 'acquire') {
          void this.request({ do: 'release', keys: request.keys.map(([key]) => key) }).catch(noop)
        }
      }
      const onPrimaryExit = (): void => {
        clearTimeout(timer)
        if (isLimit(request)) resolve({ ok: true })
        else reject(primaryTimeout())
      }
      if (!process.connected) return onPrimaryExit()
      // Batch requests, so that ten thousand reconnecting subscribers do not cost as many messages.
      if (this.#queuedRequests.push({ request, settle, onPrimaryExit }) === 1) setImmediate(() => this.#sendRequests())
    })

  readonly broadcastRevocation = (revocation: Revocation): void =>
    void sendToPrimary({ gateway: 'revocation', revocation })

  readonly onRevocation = (listener: (revocation: Revocation) => void): void => {
    this.#onRevocation = listener
  }

  readonly broadcastSessionEnd = (tokenId: string): void => void sendToPrimary({ gateway: 'session_ended', tokenId })

  readonly onSessionEnd = (listener: (tokenId: string) => void): void => {
    this.#onSessionEnd = listener
  }

  readonly broadcastStoreFault = ({ code, message }: GatewayError): void =>
    void sendToPrimary({ gateway: 'store_fault', code, text: message })

  readonly onStoreFault = (listener: (error: GatewayError) => void): void => {
    this.#onStoreFault = listener
  }

  async #requestFromPrimary(createMessage: (id: number) => ClusterMessage, timeoutMs: number): Promise<ClusterMessage> {
    if (!process.connected) throw primaryTimeout()
    const id = ++this.#lastId
    const response = Promise.withResolvers<ClusterMessage>()
    const timer = setTimeout(() => response.reject(primaryTimeout()), timeoutMs)
    this.#pendingReplies.set(id, response)
    void sendToPrimary(createMessage(id))
    return response.promise.finally(() => {
      clearTimeout(timer)
      this.#pendingReplies.delete(id)
    })
  }

  #sendRequests(): void {
    const id = ++this.#lastId
    const requests = this.#queuedRequests
    this.#queuedRequests = []
    this.#sentRequests.set(id, requests)
    void sendToPrimary({ gateway: 'coordinator_request', id, requests: requests.map(({ request }) => request) })
  }

  #onResponses(id: number, responses: readonly CoordinatorResponse[]): void {
    for (const [index, { settle }] of (this.#sentRequests.get(id) ?? []).entries()) settle(responses[index]!)
    this.#sentRequests.delete(id)
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
   * @param onStopAccepting called when the worker must accept no more connections
   */
  waitForDrain(onStopAccepting: () => void): Promise<DrainReason> {
    return new Promise((resolve) => {
      // Otherwise node:cluster would end this process at once when the primary is gone.
      cluster.worker!.exitedAfterDisconnect = true
      process.on('message', (message: unknown) => {
        if (!isClusterMessage(message)) return
        if (message.gateway === 'stop_accepting') onStopAccepting()
        if (message.gateway === 'drain') resolve('drain')
      })
      process.on('SIGTERM', () => resolve('signal'))
      // A terminal sends SIGINT to the whole process group; the primary drains the workers in its own order.
      process.on('SIGINT', noop)
      process.on('disconnect', () => resolve('primary_exited'))
    })
  }
}

/**
 * Resolves with the settings of the primary. A worker that is started later than the others must not use another database or key than they
 * do, so it reads neither `.env` nor the files of secrets.
 */
export const receiveSettings = (): Promise<WorkerSettings> =>
  new Promise((resolve) => {
    process.once('message', (message) => {
      if (isClusterMessage(message) && message.gateway === 'settings') resolve(message.settings)
    })
  })

/** Resolves once the message is written, or the primary is gone, which `disconnect` reports. */
const sendToPrimary = (message: ClusterMessage): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve())
    else resolve()
  })
