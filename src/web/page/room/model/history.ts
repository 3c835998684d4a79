import type { EventSummary } from '../../../../store/store.ts'
import { api, apiText } from '../../shared/api.ts'
import { findStringEnd } from '../../shared/lossless-json.ts'
import { type Entry, toEntry } from './entry.ts'
import type { LoadedRange } from './loaded-ranges.ts'
import { runInSlices } from './time-slices.ts'

/** Greater than every db_id, for requests of the newest messages. */
export const END = Number.MAX_SAFE_INTEGER

export interface HistoryBatch {
  /** Ascending. */
  readonly entries: readonly Entry[]
  readonly hasMore: boolean
  readonly logId: string
}

/** Yields the JSON texts of the elements of the `data` array, with which a response begins. Pure. */
function* elementTexts(answer: string): Generator<string> {
  let at = answer.indexOf('[') + 1
  if (at === 0) return
  let depth = 0
  let from = at
  for (; at < answer.length; at++) {
    const char = answer[at]!
    if (char === '"') at = findStringEnd(answer, at) - 1
    else if (char === '{' || char === '[') depth++
    else if (char === '}' || (char === ']' && depth > 0)) depth--
    else if (depth === 0 && (char === ',' || char === ']')) {
      if (at > from) yield answer.slice(from, at)
      if (char === ']') return
      from = at + 1
    }
  }
}

/** Parses the members after the `data` array of a response, such as `has_more`. */
const answerTail = (answer: string): Record<string, unknown> => {
  const end = answer.lastIndexOf(']')
  return JSON.parse(`{"data":[${answer.slice(end)}`) as Record<string, unknown>
}

/**
 * Loads a page of messages.
 *
 * @param where `before`: the newest messages before a db_id; `last_message_db_id`: the first ones after it
 * @param goOn if it returns false, parsing is aborted and the result is null
 * @throws ApiError
 */
export const readHistory = async (
  eventId: string,
  where: { readonly before: number } | { readonly last_message_db_id: number },
  limit: number,
  goOn: () => boolean,
): Promise<HistoryBatch | null> => {
  const [[key, id]] = Object.entries(where) as [[string, number]]
  const answer = await apiText(`/api/events/${encodeURIComponent(eventId)}/messages?${key}=${id}&limit=${limit}`)
  const entries: Entry[] = []
  const take = (raw: string): void => void entries.push(toEntry(JSON.parse(raw), raw))
  if (!(await runInSlices(elementTexts(answer), take, goOn))) return null
  const { has_more, log_id } = answerTail(answer)
  return { entries, hasMore: has_more === true, logId: String(log_id) }
}

/** Returns the first db_id of a page that was loaded backwards; 0 if it begins with the first message of the event. */
export const getFirstDbId = ({ hasMore, entries }: HistoryBatch): number => (hasMore ? entries[0]!.id : 0)

/**
 * Loads a message and those around it.
 *
 * @returns null if it is not in this event, or if `goOn` has aborted it
 * @throws ApiError
 */
export const readAround = async (
  eventId: string,
  id: number,
  limit: number,
  goOn: () => boolean,
): Promise<(Omit<HistoryBatch, 'hasMore'> & { readonly range: LoadedRange }) | null> => {
  const [before, after] = await Promise.all([
    readHistory(eventId, { before: id + 1 }, limit, goOn),
    readHistory(eventId, { last_message_db_id: id }, limit, goOn),
  ])
  if (before === null || after === null) return null
  if (before.logId !== after.logId || before.entries.at(-1)?.id !== id) return null
  const last = after.hasMore ? after.entries.at(-1)!.id : Number.POSITIVE_INFINITY
  const entries = [...before.entries, ...after.entries]
  return { entries, logId: before.logId, range: { first: getFirstDbId(before), last } }
}

/** Number of messages of an event up to its last one. */
export type MessageCount = Pick<EventSummary, 'messages' | 'last_db_id'>

/**
 * Counts the messages of an event, newer ones included.
 *
 * @param lastId its last known message
 * @returns null if a newer message has arrived, and then messages of a hundred other events
 * @throws ApiError
 */
export const countMessages = async (eventId: string, lastId: number): Promise<MessageCount | null> => {
  const find = async (query: string): Promise<MessageCount | undefined> => {
    const { data } = await api<{ data: readonly (MessageCount & Pick<EventSummary, 'event_id'>)[] }>(
      `/api/events?${query}`,
    )
    return data.find(({ event_id }) => event_id === eventId)
  }
  // The list is sorted by last_db_id: without a newer message, this event is the first one before lastId + 1.
  return (await find(`limit=1&before=${lastId + 1}`)) ?? (await find('limit=100')) ?? null
}
