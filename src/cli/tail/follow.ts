import type { EventSourceMessage } from 'eventsource-parser'
import { backoffDelay, MAX_TIMER_MS } from '../../core/backoff.ts'
import { parseDbId } from '../../core/cursor.ts'
import { GatewayError } from '../../core/errors.ts'
import { readSseEvents } from '../../upstream/sse-reader.ts'
import { authorizedRequest, toUnreachableError } from '../gateway-client.ts'
import { sleep } from '../io.ts'
import type { TokenSource } from '../token/source.ts'

/** An item of a followed stream. Messages are unique and in order. */
export type StreamItem =
  /** A message: its data as received, JSON on one line. */
  | { readonly kind: 'message'; readonly db_id: number; readonly data: string }
  /** All messages stored before the connection have been delivered. */
  | { readonly kind: 'caught_up' }
  /** A notice for the user about the connection or the store. */
  | { readonly kind: 'note'; readonly text: string }

export interface FollowOptions {
  /** Address of the stream with its filters, without a cursor. */
  readonly url: string
  /** First cursor: `last_message_db_id` or `tail`, and its value. */
  readonly start: readonly [parameter: string, value: string]
  /** Read for each connection. */
  readonly token: TokenSource
  /** Idle timeout: a connection that receives nothing for this long is closed, in milliseconds. */
  readonly silenceMs: number
  readonly signal: AbortSignal
}

const RETRY_MS = { initial: 2_000, max: 15_000 }

/** State kept across connections. */
interface FollowState {
  logId: string | null
  /** The last SSE id; null if the stream begins at `start`. */
  lastEventId: string | null
  /** The greatest db_id that was yielded. */
  lastDbId: number
  retryMs: number
  /** Consecutive connections without a `hello`. */
  failures: number
  /** The connection was lost and is not restored yet. */
  isDisconnected: boolean
  /** Why the current connection is expected to end: the gateway sent `closing`, or the stream must restart at 0. */
  ending: 'closing' | 'from the start' | null
}

/**
 * Follows a stream until the signal aborts. After a lost connection it resumes from the last id, after a delay with
 * jitter. Each message is yielded once and in order, also across a `reset` and a new database.
 *
 * @throws GatewayError gateway_unreachable or config_invalid if the first connection fails, or the error of the gateway
 */
export async function* follow(options: FollowOptions): AsyncGenerator<StreamItem> {
  const { signal } = options
  const state: FollowState = {
    logId: null,
    lastEventId: null,
    lastDbId: 0,
    retryMs: RETRY_MS.initial,
    failures: 0,
    isDisconnected: false,
    ending: null,
  }
  while (!signal.aborted) {
    try {
      yield* readStream(options, state)
    } catch (error) {
      if (signal.aborted) return
      if (!isTransient(error) || state.logId === null) throw error
      if (!state.isDisconnected)
        yield { kind: 'note', text: `Connection lost: ${(error as Error).message} Reconnecting.` }
      state.isDisconnected = true
    }
    await sleep(retryDelay(state), signal)
    state.failures++
  }
}

/** `config_invalid` is retried too: the token file may be incomplete while it is being renewed. */
const isTransient = (error: unknown): boolean =>
  error instanceof GatewayError &&
  ((error as { isTransient?: boolean }).isTransient ??
    (error.code === 'gateway_unreachable' || error.code === 'config_invalid'))

/** Jitter, so that clients of a restarted gateway do not reconnect at the same time. */
const retryDelay = ({ retryMs, failures }: FollowState): number =>
  backoffDelay(failures, { minMs: retryMs, maxMs: RETRY_MS.max }, Math.random())

/** One connection: returns if the stream ends after `closing`, throws if it cannot be opened or breaks. */
async function* readStream(options: FollowOptions, state: FollowState): AsyncGenerator<StreamItem> {
  const { url, start, silenceMs, signal } = options
  const idleTimeout = new AbortController()
  const streamUrl = new URL(url)
  const resumed = state.lastEventId !== null
  state.ending = null
  if (!resumed) streamUrl.searchParams.set(...start)
  const headers = { accept: 'text/event-stream', ...(resumed && { 'last-event-id': state.lastEventId! }) }
  const init = { headers, signal: AbortSignal.any([signal, idleTimeout.signal]) }
  const onSilence = () => idleTimeout.abort(new Error(`nothing received for ${silenceMs / 1_000} s`))
  try {
    const timer = setTimeout(onSilence, Math.min(silenceMs, MAX_TIMER_MS))
    const response = await authorizedRequest(streamUrl.href, init, options.token).finally(() => clearTimeout(timer))
    if (!response.headers.get('content-type')?.startsWith('text/event-stream') || response.body === null) {
      throw new GatewayError('unexpected_response', `${url} did not respond with an event stream.`)
    }
    const onRetry = (ms: number) => {
      state.retryMs = ms
    }
    for await (const events of readSseEvents(response.body, { silenceMs, onSilence, onRetry })) {
      for (const event of events) {
        yield* handleEvent(event, state)
        if (state.ending === 'from the start') return
      }
    }
    // A stream has no length, so without `closing` the end of the body means that the gateway was killed.
    if (state.ending === null && !signal.aborted) {
      throw new GatewayError('gateway_unreachable', 'The stream ended unexpectedly.')
    }
  } catch (cause) {
    if (signal.aborted || cause instanceof GatewayError) throw cause
    throw toUnreachableError(url, cause)
  } finally {
    idleTimeout.abort()
  }
}

/** @returns the items to yield */
const handleEvent = (event: EventSourceMessage, state: FollowState): StreamItem[] => {
  switch (event.event) {
    case 'hello':
      return hello(event, state)
    case 'new_message':
      return message(event, state)
    case 'caught_up':
      return [{ kind: 'caught_up' }]
    case 'reset':
      return reset(event, state)
    case 'closing':
      state.ending = 'closing'
      return [{ kind: 'note', text: `The gateway closed the stream (${getField(event, 'reason')}). Reconnecting.` }]
    default:
      return []
  }
}

const hello = (event: EventSourceMessage, state: FollowState): StreamItem[] => {
  const logId = getField(event, 'log_id')
  const isNewDatabase = state.logId !== null && state.logId !== logId
  const resumedAt = state.lastEventId
  const notes: StreamItem[] = []
  if (state.isDisconnected) notes.push({ kind: 'note', text: 'Reconnected.' })
  state.logId = logId
  state.isDisconnected = false
  state.failures = 0
  state.lastEventId = event.id ?? null
  if (!isNewDatabase) return notes
  notes.push({ kind: 'note', text: 'The database was replaced. All its messages follow.' })
  state.lastDbId = 0
  // The cursor of the old database was applied to the new one, so the messages before it would be missing.
  if (resumedAt === null || event.id === '0') return notes
  state.lastEventId = '0'
  state.ending = 'from the start'
  return notes
}

const message = (event: EventSourceMessage, state: FollowState): StreamItem[] => {
  const db_id = parseDbId(event.id ?? '')
  if (db_id === null) throw new GatewayError('unexpected_response', 'The stream sent a message without a db_id.')
  state.lastEventId = String(db_id)
  // After a reset with history_pruned, messages of other events are sent again.
  if (db_id <= state.lastDbId) return []
  state.lastDbId = db_id
  return [{ kind: 'message', db_id, data: event.data }]
}

const reset = (event: EventSourceMessage, state: FollowState): StreamItem[] => {
  const reason = getField(event, 'reason')
  // For any other reason the earlier db_ids are no longer valid.
  if (reason !== 'history_pruned') state.lastDbId = 0
  return [{ kind: 'note', text: `The cursor is invalid (${reason}). All remaining messages follow.` }]
}

/** Returns a text field of an event's data; empty if it is missing. @throws GatewayError unexpected_response */
const getField = (event: EventSourceMessage, field: string): string => {
  try {
    const value = (JSON.parse(event.data) as Record<string, unknown> | null)?.[field]
    return typeof value === 'string' ? value : ''
  } catch {
    throw new GatewayError('unexpected_response', `The data of ${event.event} is not valid JSON.`)
  }
}
