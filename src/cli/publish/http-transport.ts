import { backoffDelay } from '../../core/backoff.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../../core/errors.ts'
import { appendJsonMembers } from '../../core/json-members.ts'
import { MISSING_MESSAGE_ID, type NewMessage } from '../../core/message.ts'
import { authorizedRequest, ResponseError, unreachable } from '../gateway-client.ts'
import { sleep } from '../io.ts'
import type { TokenSource } from '../token/source.ts'
import { type LineResult, MAX_IN_FLIGHT, type OnResult, type OutgoingLine, type PublishTransport } from './transport.ts'

/** Maximum size of one request, below the gateway's limits of 1,000 messages and 16 MiB. */
const BATCH = { messages: 500, bytes: 4 * 1024 * 1024 }
const BACKOFF_MS = { minMs: 200, maxMs: 5_000 }
/** Request timeout. A retry is safe, since every message has an id. */
const REQUEST_MS = 30_000

export interface HttpSinkOptions {
  /** Address of the gateway without a trailing slash. */
  readonly url: string
  /** Read for each request. */
  readonly token: TokenSource
  /** Retry period of one message while the gateway is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly onFate: OnResult
  readonly signal: AbortSignal
}

/** Result of one message in a batch response. */
interface Result {
  readonly db_id?: number
  readonly duplicate?: boolean
  readonly code?: string
}

/** Returns the text to send, always with a message_id, so that a retry does not store the message twice. */
const textOf = ({ body, lacks, message_id }: NewMessage): string =>
  lacks & MISSING_MESSAGE_ID ? appendJsonMembers(body, `"message_id":${JSON.stringify(message_id)}`) : body

const failed = (error: unknown, wayFault: boolean): LineResult => {
  const { code = 'internal', message, hint = ERRORS.internal.hint } = error as Partial<GatewayError>
  return { kind: 'failed', code, text: String(message ?? error), hint, wayFault }
}

const fateOf = ({ db_id, duplicate, code }: Result): LineResult => {
  if (code !== undefined) {
    const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'unexpected_response'
    return failed(new GatewayError(known, `The gateway refused it: ${code}.`), false)
  }
  return { kind: 'published', ...(db_id !== undefined && { db_id }), ...(duplicate === true && { duplicate }) }
}

/**
 * Publishes over HTTP in the order of the pushes. Messages of one event that are pushed during a request are sent with
 * the next. Requests to an unreachable gateway are retried until the timeout.
 */
export class HttpSink implements PublishTransport {
  readonly #options: HttpSinkOptions
  #waiting: OutgoingLine[] = []
  #bytes = 0
  #working: Promise<void> | null = null
  /** Error after which pending messages fail without a request; null if there is none. */
  #shut: unknown = null
  #room = Promise.withResolvers<void>()

  constructor(options: HttpSinkOptions) {
    this.#options = options
  }

  async push(parcel: OutgoingLine): Promise<void> {
    this.#waiting.push(parcel)
    this.#bytes += parcel.message.body.length
    this.#working ??= this.#work()
    if (this.#waiting.length >= MAX_IN_FLIGHT.messages || this.#bytes >= MAX_IN_FLIGHT.bytes) await this.#room.promise
  }

  async finish(): Promise<void> {
    while (this.#working !== null) await this.#working
  }

  async close(): Promise<void> {
    this.#waiting = []
    await this.finish()
  }

  async #work(): Promise<void> {
    // Wait one turn, so that messages pushed in the same turn share the first request.
    await new Promise(setImmediate)
    while (this.#waiting.length > 0) {
      const batch = this.#take()
      await this.#deliver(batch)
      this.#bytes -= batch.reduce((sum, { message }) => sum + message.body.length, 0)
      this.#room.resolve()
      this.#room = Promise.withResolvers()
    }
    this.#working = null
  }

  /** Removes the first messages that belong to one event and fit into a request. */
  #take(): OutgoingLine[] {
    const { event_id } = this.#waiting[0]!.message
    let bytes = 0
    let count = 0
    for (const { message } of this.#waiting) {
      bytes += Buffer.byteLength(message.body) + 1
      if (count > 0 && (message.event_id !== event_id || count >= BATCH.messages || bytes > BATCH.bytes)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  /** Sends a batch, with retries, until each of its messages has a result. */
  async #deliver(batch: OutgoingLine[]): Promise<void> {
    const { signal, timeoutMs, onFate } = this.#options
    const fates = new Map<OutgoingLine, LineResult>()
    const until = performance.now() + timeoutMs
    for (let attempt = 0; fates.size < batch.length && this.#shut === null; attempt++) {
      const trouble = await this.#attempt(
        batch.filter((parcel) => !fates.has(parcel)),
        fates,
      )
      if (trouble === null) continue
      if (signal.aborted || performance.now() >= until) this.#shut = trouble
      else await sleep(backoffDelay(attempt, BACKOFF_MS, Math.random()), signal)
    }
    for (const parcel of batch) {
      await onFate(parcel, fates.get(parcel) ?? failed(this.#shut, true))
    }
  }

  /** Sends one request. @returns null if it made progress, else the error for which it must be retried */
  async #attempt(open: readonly OutgoingLine[], fates: Map<OutgoingLine, LineResult>): Promise<unknown> {
    const { url, token, signal } = this.#options
    const event_id = open[0]!.message.event_id
    try {
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: `[${open.map(({ message }) => textOf(message)).join(',')}]`,
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
      }
      const response = await authorizedRequest(
        `${url}/api/events/${encodeURIComponent(event_id)}/messages`,
        init,
        token,
      )
      const results = ((await response.json()) as { data: Result[] }).data
      for (const [index, parcel] of open.entries()) fates.set(parcel, fateOf(results[index] ?? {}))
      return null
    } catch (error) {
      if (error instanceof ResponseError) return this.#refused(error, open, fates)
      return error instanceof GatewayError ? error : unreachable(url, error)
    }
  }

  #refused(error: ResponseError, open: readonly OutgoingLine[], fates: Map<OutgoingLine, LineResult>): unknown {
    const { index, results } = error.body as { index?: number; results?: Result[] }
    if (Array.isArray(results)) {
      let again = false
      for (const [at, parcel] of open.entries()) {
        const result = results[at] ?? {}
        const retryable = result.code !== undefined && ERRORS[result.code as ErrorCode]?.retryable === true
        if (retryable) again = true
        else fates.set(parcel, fateOf(result))
      }
      return again ? error : null
    }
    // All messages of the request belong to this event; other events can still be allowed.
    if (error.code === 'event_forbidden') {
      for (const parcel of open) fates.set(parcel, failed(error, false))
      return null
    }
    // None of the messages was stored: drop the invalid one and resend the rest. 401 and 403 concern no single message.
    const ofCaller = error.httpStatus === 401 || error.httpStatus === 403
    const culprit = ofCaller ? undefined : open[Number(index ?? (open.length === 1 ? 0 : -1))]
    if (!error.passing && culprit !== undefined) {
      fates.set(culprit, failed(error, false))
      return null
    }
    if (!error.passing) this.#shut = error
    return error
  }
}
