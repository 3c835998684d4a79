import * as assert from 'uvu/assert'
import { collectIds, openSse, type ParsedEvent, type SseStream } from '../clients/sse.ts'
import type { Gateway } from '../servers/gateway.ts'
import { eventUrl } from './rooms.ts'

/** Reads a stream of an event until caught_up; `header` is its Last-Event-ID. */
export const readStream = async (
  gateway: Gateway,
  event_id: string,
  query = '',
  header?: string,
): Promise<SseStream> => {
  const headers: Record<string, string> = header === undefined ? {} : { 'last-event-id': header }
  const stream = await openSse(`${eventUrl(gateway, event_id)}/stream${query}`, { headers })
  try {
    await stream.next('caught_up')
  } finally {
    stream.close()
  }
  return stream
}

/** The events of a stream with this name. */
export const named = (stream: SseStream, name: string): ParsedEvent[] =>
  stream.events.filter(({ event }) => event === name)

/** Asserts that a stream started with a reset and then sent everything. */
export const isReset = (stream: SseStream, reason: string, ids: number[]): void => {
  assert.equal(
    stream.events.slice(0, 2).map(({ event, id }) => [event, id]),
    [
      ['hello', '0'],
      ['reset', undefined],
    ],
  )
  assert.equal(stream.events[0]?.data.cursor, 0)
  assert.equal(stream.events[1]?.data, { reason, first_db_id: ids[0] ?? 0 })
  assert.equal(collectIds(stream), ids)
}
