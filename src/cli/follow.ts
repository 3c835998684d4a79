import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { backoffDelay } from '../core/backoff.ts'
import { parseDbId } from '../core/cursor.ts'
import { GatewayError } from '../core/errors.ts'
import { authorizedRequest, unreachable } from './gateway-client.ts'
import { sleep } from './io.ts'
import type { TokenSource } from './token/source.ts'

/** What a stream says, once and in order. */
export type StreamItem =
  /** A message: its data as they came, a JSON text on one line. */
  | { readonly kind: 'message'; readonly db_id: number; readonly data: string }
  /** Everything stored before has been said. */
  | { readonly kind: 'caught_up' }
  /** Something about the line or the log that a person should know. */
  | { readonly kind: 'note'; readonly text: string }

export interface FollowOptions {
  /** The address of the stream, its filters included, without a cursor. */
  readonly url: string
  /** Where to start: `last_message_db_id` or `tail` and its value. */
  readonly start: readonly [parameter: string, value: string]
  /** What to show to the gateway, at each connection. */
  readonly token: TokenSource
  /** A line on which nothing comes for so long is dead, in milliseconds. */
  readonly silenceMs: number
  readonly signal: AbortSignal
}

const RETRY_MS = { initial: 2_000, max: 15_000 }

/** What is known across connections. */
interface State {
  logId: string | null
  /** The last id of the stream; null: start as asked. */
  lastEventId: string | null
  /** The greatest db_id that was said. */
  said: number
  retryMs: number
  /** Connections in a row that said nothing. */
  failures: number
  /** The line was lost and has not come back. */
  lost: boolean
  /** Why the present connection may end: the gateway said so, or it must be opened from the start. */
  ending: 'closing' | 'from the start' | null
}

/**
 * Follows a stream for ever: after any loss it comes back with the last id, after a pause with jitter, so that each
 * message is said once and in order, also across a `reset` and a new database.
 *
 * @throws GatewayError gateway_unreachable or config_invalid when the first connection fails, or what the gateway refuses with
 */
export async function* follow(options: FollowOptions): AsyncGenerator<StreamItem> {
  const { signal } = options
  const state: State = {
    logId: null,
    lastEventId: null,
    said: 0,
    retryMs: RETRY_MS.initial,
    failures: 0,
    lost: false,
    ending: null,
  }
  while (!signal.aborted) {
    try {
      yield* connection(options, state)
    } catch (error) {
      if (signal.aborted) return
      if (!isPassing(error) || state.logId === null) throw error
      if (!state.lost) yield { kind: 'note', text: `The line is lost (${(error as Error).message}) Trying again.` }
      state.lost = true
    }
    await sleep(delayOf(state), signal)
    state.failures++
  }
}

/** `config_invalid` is the token's file in the moment in which it is renewed: nothing is asked until it is whole. */
const isPassing = (error: unknown): boolean =>
  error instanceof GatewayError &&
  ((error as { passing?: boolean }).passing ??
    (error.code === 'gateway_unreachable' || error.code === 'config_invalid'))

/** Spread, so that all who lost a gateway do not come back at once. */
const delayOf = ({ retryMs, failures }: State): number =>
  backoffDelay(failures, { minMs: retryMs, maxMs: RETRY_MS.max }, Math.random())

/** One connection: ends when the stream does as announced, throws when it cannot be had or breaks. */
async function* connection(options: FollowOptions, state: State): AsyncGenerator<StreamItem> {
  const { url, start, silenceMs, signal } = options
  const silence = new AbortController()
  const address = new URL(url)
  const resumed = state.lastEventId !== null
  state.ending = null
  if (!resumed) address.searchParams.set(...start)
  const headers = { accept: 'text/event-stream', ...(resumed && { 'last-event-id': state.lastEventId! }) }
  const init = { headers, signal: AbortSignal.any([signal, silence.signal]) }
  const response = await authorizedRequest(address.href, init, options.token)
  if (!response.headers.get('content-type')?.startsWith('text/event-stream') || response.body === null) {
    throw new GatewayError('unexpected_response', `${url} answers, but not with a stream of events.`)
  }
  try {
    for await (const event of eventsOf(response.body, silenceMs, silence, state)) {
      yield* handleEvent(event, state)
      if (state.ending === 'from the start') return
    }
    // A stream has no length: that of a killed gateway ends like any other, but for its last word.
    if (state.ending === null && !signal.aborted) throw new GatewayError('gateway_unreachable', 'The stream broke off.')
  } catch (cause) {
    if (signal.aborted || cause instanceof GatewayError) throw cause
    throw unreachable(url, cause)
  } finally {
    silence.abort()
  }
}

/** The events of a body, taken no faster than they are used. */
async function* eventsOf(body: ReadableStream<Uint8Array>, silenceMs: number, silence: AbortController, state: State) {
  const waiting: EventSourceMessage[] = []
  const parser = createParser({
    onEvent: (event) => waiting.push(event),
    onRetry: (ms) => {
      state.retryMs = ms
    },
  })
  const decoder = new TextDecoder()
  const reader = body.getReader()
  while (true) {
    // Only waiting for the gateway counts as silence, not waiting for who reads our data.
    const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${silenceMs / 1_000} s`)), silenceMs)
    const { done, value } = await reader.read().finally(() => clearTimeout(timer))
    if (done) return
    parser.feed(decoder.decode(value, { stream: true }))
    yield* waiting.splice(0)
  }
}

/** @returns what is to be said */
const handleEvent = (event: EventSourceMessage, state: State): StreamItem[] => {
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
      return [{ kind: 'note', text: `The gateway closes the stream (${fieldOf(event, 'reason')}). Coming back.` }]
    default:
      return []
  }
}

const hello = (event: EventSourceMessage, state: State): StreamItem[] => {
  const logId = fieldOf(event, 'log_id')
  const isNewDatabase = state.logId !== null && state.logId !== logId
  const resumedAt = state.lastEventId
  const notes: StreamItem[] = []
  if (state.lost) notes.push({ kind: 'note', text: 'Connected again.' })
  state.logId = logId
  state.lost = false
  state.failures = 0
  state.lastEventId = event.id ?? null
  if (!isNewDatabase) return notes
  notes.push({ kind: 'note', text: 'This is another database than before: everything in it follows.' })
  state.said = 0
  // A cursor of the old database was taken for one of the new: what lies before it would be missing.
  if (resumedAt === null || event.id === '0') return notes
  state.lastEventId = '0'
  state.ending = 'from the start'
  return notes
}

const message = (event: EventSourceMessage, state: State): StreamItem[] => {
  const db_id = parseDbId(event.id ?? '')
  if (db_id === null) throw new GatewayError('unexpected_response', 'A message without a db_id came.')
  state.lastEventId = String(db_id)
  // After a reset for pruned history, messages of other events come a second time.
  if (db_id <= state.said) return []
  state.said = db_id
  return [{ kind: 'message', db_id, data: event.data }]
}

const reset = (event: EventSourceMessage, state: State): StreamItem[] => {
  const reason = fieldOf(event, 'reason')
  // Anything but pruning means that the ids of before are not those of now.
  if (reason !== 'history_pruned') state.said = 0
  return [{ kind: 'note', text: `The cursor cannot be honoured (${reason}): everything that is left follows.` }]
}

/** A text field of an event's data; empty where there is none. */
const fieldOf = (event: EventSourceMessage, field: string): string => {
  try {
    const value = (JSON.parse(event.data) as Record<string, unknown> | null)?.[field]
    return typeof value === 'string' ? value : ''
  } catch {
    throw new GatewayError('unexpected_response', `The data of ${event.event} are no JSON.`)
  }
}
