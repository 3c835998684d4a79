import { isDeepStrictEqual } from 'node:util'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { StoredMessage } from '../../../src/core/message.ts'
import {
  encodeCaughtUpEvent,
  encodeClosingEvent,
  encodeHeartbeatEvent,
  encodeHelloEvent,
  encodeMessageEvent,
  encodeResetEvent,
  type HelloData,
} from '../../../src/core/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

interface Parsed {
  events: EventSourceMessage[]
  retries: number[]
  ids: string[]
  odd: unknown[]
}

const parse = (...frames: Buffer[]): Parsed => {
  const parsed: Parsed = { events: [], retries: [], ids: [], odd: [] }
  const parser = createParser({
    onEvent: (event) => parsed.events.push(event),
    onRetry: (ms) => parsed.retries.push(ms),
    onId: (id) => parsed.ids.push(id),
    onComment: (comment) => parsed.odd.push(comment),
    onError: (error) => parsed.odd.push(error),
  })
  for (const frame of frames) parser.feed(frame.toString('utf8'))
  return parsed
}

const one = (frame: Buffer): { event: string | undefined; id: string | undefined; data: unknown; raw: string } => {
  const { events, odd } = parse(frame)
  assert.equal(odd, [], 'nothing but known fields')
  assert.is(events.length, 1, frame.toString())
  const { event, id, data } = events[0]!
  assert.ok(frame.toString().endsWith('\n\n'), 'the frame is complete by itself')
  return { event, id, data: JSON.parse(data), raw: data }
}

const stored = (body: string, over: Partial<StoredMessage> = {}): StoredMessage => ({
  db_id: 42,
  event_id: 'e',
  message_id: 'm',
  message_from: null,
  message_type: null,
  received_at: 0,
  body,
  lacks: 0,
  traceparent: null,
  ...over,
})

const HELLO: HelloData = {
  log_id: 'l',
  cursor: 120,
  first_db_id: 1,
  last_db_id: 123,
  server_time: '2026-11-22T10:00:00.000Z',
  events: ['e'],
  filters: { message_type: ['t'], message_from: null },
}

const frames = suite('SSE frames')

frames('hello carries the cursor as its id, 0 included', () => {
  const { event, id, data } = one(encodeHelloEvent(HELLO, 2_000))
  assert.equal([event, id, data], ['hello', '120', HELLO])
  assert.is(one(encodeHelloEvent({ ...HELLO, cursor: 0 }, 2_000)).id, '0')
})

frames('a message carries its db_id as its id, and the delivered object as one line', () => {
  const { event, id, data } = one(encodeMessageEvent(stored('{"event_id":"e","message_id":"m","n":12302548181076029}')))
  assert.equal([event, id], ['new_message', '42'])
  assert.equal((data as { db_id: number }).db_id, 42)
  assert.match(encodeMessageEvent(stored('{"n":12302548181076029}')).toString(), '"n":12302548181076029,')
})

frames('everything else carries no id, so that a client resumes where it was', () => {
  const expected: [Buffer, string, unknown][] = [
    [encodeCaughtUpEvent(123), 'caught_up', { last_message_db_id: 123 }],
    [encodeHeartbeatEvent('now'), 'heartbeat', { server_time: 'now' }],
    [encodeResetEvent('cursor_ahead', 7), 'reset', { reason: 'cursor_ahead', first_db_id: 7 }],
    [encodeClosingEvent('too_slow'), 'closing', { reason: 'too_slow' }],
  ]
  for (const [frame, name, data] of expected) {
    const parsed = one(frame)
    assert.equal([parsed.event, parsed.id, parsed.data], [name, undefined, data])
    assert.equal(parse(frame).ids, [], `${name} does not touch the last event id`)
  }
})

frames('a message without a name is a default event, and otherwise the same', () => {
  const message = stored('{"event_id":"e","message_id":"m"}')
  const unnamed = encodeMessageEvent(message, true)
  assert.equal(one(unnamed), { ...one(encodeMessageEvent(message)), event: undefined })
  assert.not.match(unnamed.toString(), 'event:')
})

frames('retry travels in hello and closing, as a whole number of milliseconds', () => {
  for (const frame of [encodeHelloEvent(HELLO, 1234.56), encodeClosingEvent('shutdown', 1234.56)]) {
    const { events, retries, odd } = parse(frame)
    assert.equal([events.length, retries, odd], [1, [1235], []])
  }
  assert.equal(parse(encodeClosingEvent('too_slow')).retries, [])
})

frames('consecutive events stay separate', () => {
  const all = [
    encodeHelloEvent(HELLO, 1),
    encodeMessageEvent(stored('{}')),
    encodeHeartbeatEvent('x'),
    encodeClosingEvent('shutdown'),
  ]
  const { events } = parse(Buffer.concat(all))
  assert.equal(
    events.map((event) => event.event),
    ['hello', 'new_message', 'heartbeat', 'closing'],
  )
})

frames('line breaks between tokens become spaces, those inside strings stay escaped', () => {
  const body = '{\r\n"a" :\r[1 ,\n2],\n\n"s":"x\\r\\ny\\u2028\u2028"\n}'
  const { data, raw } = one(encodeMessageEvent(stored(body)))
  assert.match(raw, '{  "a" : [1 , 2],  "s":"x\\r\\ny\\u2028\u2028"')
  assert.equal((data as { s: string }).s, 'x\r\ny\u2028\u2028')
  assert.not.match(raw, /[\r\n]/)
})

frames('a message with line breaks leaves no trace in the next one', () => {
  const broken = stored('{"a":\n1}')
  const first = encodeMessageEvent(broken).toString()
  for (let again = 0; again < 3; again++) assert.is(encodeMessageEvent(broken).toString(), first)
})

frames('no field of a message can end its line: ids from elsewhere are escaped', () => {
  const odd = 'a\r\nevent: fake\n\ndata: x\u0000'
  const { data } = one(encodeMessageEvent(stored('{}', { lacks: 3, event_id: odd, message_id: odd })))
  assert.equal((data as { event_id: string }).event_id, odd)
})

/** Generates the text of a JSON value with white space and line breaks between tokens. */
const spread = (value: unknown, gap: () => string): string => {
  const around = (text: string): string => `${gap()}${text}${gap()}`
  if (Array.isArray(value)) return around(`[${value.map((item) => spread(item, gap)).join(',') || gap()}]`)
  if (typeof value !== 'object' || value === null) return around(JSON.stringify(value))
  const pairs = Object.entries(value).map(([key, item]) => `${around(JSON.stringify(key))}:${spread(item, gap)}`)
  return around(`{${pairs.join(',') || gap()}}`)
}

frames('any JSON object with line breaks anywhere between its tokens is exactly one event of equal data', () => {
  const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ stringUnit: 'binary' }))
  const gaps = fc.infiniteStream(fc.constantFrom('', '', ' ', '\n', '\r', '\r\n', '\n\n', '\t', '\n\r\n'))
  fc.assert(
    fc.property(object, gaps, fc.nat(), (value, stream, db_id) => {
      const text = spread(value, () => stream.next().value as string)
      assert.ok(isDeepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify(value))))
      const parsed = one(encodeMessageEvent(stored(text, { db_id })))
      assert.is(parsed.id, String(db_id))
      const expected = { ...JSON.parse(text), received_at: '1970-01-01T00:00:00.000Z', db_id }
      assert.ok(isDeepStrictEqual(parsed.data, expected), text)
    }),
    { numRuns: runs(300, 2_000) },
  )
})

frames.run()
