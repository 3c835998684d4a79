import { backoffDelay } from '../../core/backoff.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../../core/errors.ts'
import { authorizedRequest, ResponseError, toUnreachableError } from '../gateway-client.ts'
import { sleep } from '../io.ts'
import type { TokenSource } from '../token/source.ts'
import {
  type LineResult,
  MAX_IN_FLIGHT,
  type OnResult,
  type OutgoingLine,
  type PublishTransport,
  serializeMessage,
} from './transport.ts'

/** Maximum size of one request, below the gateway's limits of 1,000 messages and 16 MiB. */
const BATCH = { messages: 500, bytes: 4 * 1024 * 1024 }
const BACKOFF_MS = { minMs: 200, maxMs: 5_000 }
/** Maximum timeout of a request. A retry is safe, since every message has an id. */
const REQUEST_TIMEOUT_MS = 30_000
/** Even a short retry period leaves a request the time to fail with its own error. */
const MIN_REQUEST_TIMEOUT_MS = 1_000

export interface HttpTransportOptions {
  /** Address of the gateway without a trailing slash. */
  readonly url: string
  /** Read for each request. */
  readonly token: TokenSource
  /** Retry period of one message while the gateway is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly onResult: OnResult
  readonly signal: AbortSignal
}

/** Result of one message in a batch response. */
interface Result {
  readonly db_id?: number
  readonly duplicate?: boolean
  readonly code?: string
}

const toFailure = (error: unknown, isTransportError: boolean): LineResult => {
  const { code = 'internal', message, hint = ERRORS.internal.hint } = error as Partial<GatewayError>
  return { kind: 'failed', code, text: String(message ?? error), hint, isTransportError }
}

const toLineResult = ({ db_id, duplicate, code }: Result): LineResult => {
  if (code !== undefined) {
    const knownCode = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'unexpected_response'
    return toFailure(new GatewayError(knownCode, `The gateway refused it: ${code}.`), false)
  }
  return { kind: 'published', ...(db_id !== undefined && { db_id }), ...(duplicate === true && { duplicate }) }
}

/**
 * Publishes over HTTP in the order of the calls of `send`. Messages of one event that are sent during a request go with
 * the next. Requests to an unreachable gateway are retried until the timeout.
 */
export class HttpTransport implements PublishTransport {
  readonly #options: HttpTransportOptions
  #pending: OutgoingLine[] = []
  #bytes = 0
  #running: Promise<void> | null = null
  /** Error after which pending messages fail without a request; null if there is none. */
  #fatalError: unknown = null
  #drained = Promise.withResolvers<void>()

  constructor(options: HttpTransportOptions) {
    this.#options = options
  }

  async send(line: OutgoingLine): Promise<void> {
    this.#pending.push(line)
    this.#bytes += line.message.body.length
    this.#running ??= this.#run()
    if (this.#pending.length >= MAX_IN_FLIGHT.messages || this.#bytes >= MAX_IN_FLIGHT.bytes)
      await this.#drained.promise
  }

  async finish(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  async close(): Promise<void> {
    this.#pending = []
    await this.finish()
  }

  async #run(): Promise<void> {
    // Wait one turn, so that messages sent in the same turn share the first request.
    await new Promise(setImmediate)
    while (this.#pending.length > 0) {
      const batch = this.#nextBatch()
      await this.#deliver(batch)
      this.#bytes -= batch.reduce((sum, { message }) => sum + message.body.length, 0)
      this.#drained.resolve()
      this.#drained = Promise.withResolvers()
    }
    this.#running = null
  }

  /** Removes the first messages that belong to one event and fit into a request. */
  #nextBatch(): OutgoingLine[] {
    const { event_id } = this.#pending[0]!.message
    let bytes = 0
    let count = 0
    for (const { message } of this.#pending) {
      bytes += Buffer.byteLength(message.body) + 1
      if (count > 0 && (message.event_id !== event_id || count >= BATCH.messages || bytes > BATCH.bytes)) break
      count++
    }
    return this.#pending.splice(0, count)
  }

  /** Sends a batch, with retries, until each of its messages has a result. */
  async #deliver(batch: OutgoingLine[]): Promise<void> {
    const { signal, timeoutMs, onResult } = this.#options
    const lineResults = new Map<OutgoingLine, LineResult>()
    const deadline = performance.now() + timeoutMs
    for (let attempt = 0; lineResults.size < batch.length && this.#fatalError === null; attempt++) {
      const error = await this.#attempt(
        batch.filter((line) => !lineResults.has(line)),
        lineResults,
        Math.max(MIN_REQUEST_TIMEOUT_MS, Math.min(REQUEST_TIMEOUT_MS, Math.ceil(deadline - performance.now()))),
      )
      if (error === null) continue
      if (signal.aborted || performance.now() >= deadline) this.#fatalError = error
      else await sleep(backoffDelay(attempt, BACKOFF_MS, Math.random()), signal)
    }
    for (const line of batch) {
      await onResult(line, lineResults.get(line) ?? toFailure(this.#fatalError, true))
    }
  }

  /** Sends one request. @returns null if it made progress, else the error for which it must be retried */
  async #attempt(
    pending: readonly OutgoingLine[],
    lineResults: Map<OutgoingLine, LineResult>,
    requestTimeoutMs: number,
  ): Promise<unknown> {
    const { url, token, signal } = this.#options
    const event_id = pending[0]!.message.event_id
    try {
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: `[${pending.map(({ message }) => serializeMessage(message)).join(',')}]`,
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
      }
      const response = await authorizedRequest(
        `${url}/api/events/${encodeURIComponent(event_id)}/messages`,
        init,
        token,
      )
      const results = ((await response.json()) as { data: Result[] }).data
      for (const [index, line] of pending.entries()) lineResults.set(line, toLineResult(results[index] ?? {}))
      return null
    } catch (error) {
      if (error instanceof ResponseError) return this.#onRejected(error, pending, lineResults)
      return error instanceof GatewayError ? error : toUnreachableError(url, error)
    }
  }

  #onRejected(
    error: ResponseError,
    pending: readonly OutgoingLine[],
    lineResults: Map<OutgoingLine, LineResult>,
  ): unknown {
    const { index, results } = error.body as { index?: number; results?: Result[] }
    if (Array.isArray(results)) {
      let shouldRetry = false
      for (const [at, line] of pending.entries()) {
        const result = results[at] ?? {}
        const retryable = result.code !== undefined && ERRORS[result.code as ErrorCode]?.retryable === true
        if (retryable) shouldRetry = true
        else lineResults.set(line, toLineResult(result))
      }
      return shouldRetry ? error : null
    }
    // All messages of the request belong to this event; other events can still be allowed.
    if (error.code === 'event_forbidden') {
      for (const line of pending) lineResults.set(line, toFailure(error, false))
      return null
    }
    // None of the messages was stored: drop the invalid one and resend the rest. 401 and 403 concern no single message.
    const isAuthError = error.httpStatus === 401 || error.httpStatus === 403
    const culprit = isAuthError ? undefined : pending[Number(index ?? (pending.length === 1 ? 0 : -1))]
    if (!error.isTransient && culprit !== undefined) {
      lineResults.set(culprit, toFailure(error, false))
      return null
    }
    if (!error.isTransient) this.#fatalError = error
    return error
  }
}
