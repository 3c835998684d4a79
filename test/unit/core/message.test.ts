import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { ERRORS, type ErrorCode } from '../../../src/core/errors.ts'
import { appendJsonMembers } from '../../../src/core/json-members.ts'
import {
  decodeUtf8,
  MISSING_EVENT_ID,
  MISSING_MESSAGE_ID,
  type NewMessage,
  PublishedMessage,
  type ReceiveContext,
  serializeDelivery,
  validateMessage,
} from '../../../src/core/message.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import type { Json } from '../../support/harness/wait.ts'

const ARRIVAL: ReceiveContext = { received_at: Date.UTC(2026, 10, 22, 10, 0, 0, 123), makeId: () => 'made-id' }

const accept = (body: unknown, arrival: Partial<ReceiveContext> = {}): NewMessage => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const checked = validateMessage(text, { ...ARRIVAL, ...arrival })
  if ('error' in checked) throw new Error(`refused: ${JSON.stringify(checked.error)}`)
  assert.is(checked.message.body, text, 'the body is kept as the text that came')
  return checked.message
}

const refuse = (body: unknown, reason: ErrorCode, arrival: Partial<ReceiveContext> = {}): void => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const checked = validateMessage(text, { ...ARRIVAL, ...arrival })
  if (!('error' in checked)) throw new Error(`accepted: ${text.slice(0, 200)}`)
  assert.is(checked.error.reason, reason, `${text.slice(0, 200)}: ${checked.error.detail}`)
  assert.ok(checked.error.detail.length > 0, 'says the particulars')
}

const deliver = (body: string, arrival: Partial<ReceiveContext> = {}): string =>
  serializeDelivery({ ...accept(body, arrival), db_id: 123 })

const OWN_KEYS = '"received_at":"2026-11-22T10:00:00.123Z","db_id":123}'
/** One character, two UTF-16 units. */
const ASTRAL = '𝒳'

const messages = suite('checking a message')

messages('reads the fields of a full message', () => {
  const body = { event_id: 'e.1', message_id: 'm', message_from: 'a', message_type: 't', round_id: 3, id: 9 }
  const { body: _text, ...fields } = accept(body)
  assert.equal(fields, {
    event_id: 'e.1',
    message_id: 'm',
    message_from: 'a',
    message_type: 't',
    round_id: 3,
    received_at: ARRIVAL.received_at,
    lacks: 0,
    traceparent: null,
  })
})

messages('refuses what is not JSON, with Python’s own NaN and Infinity', () => {
  for (const text of ['', ' ', '{', '{"a":NaN}', '{"a":Infinity}', "{'a':1}", '{"a":1,}', '{}{}', 'nonsense']) {
    refuse(text, 'invalid_json')
  }
})

messages('names a byte order mark', () => {
  const checked = validateMessage('\uFEFF{"event_id":"e"}', ARRIVAL)
  assert.ok('error' in checked && checked.error.reason === 'invalid_json')
  assert.match(JSON.stringify(checked), 'byte order mark')
  const decoded = decodeUtf8(Buffer.from('\uFEFF{}'))
  assert.is(decoded, '\uFEFF{}', 'decoding keeps it for the check to see')
})

messages('refuses every JSON value but an object', () => {
  for (const text of ['null', '1', '"x"', 'true', '[]', '[{"event_id":"e"}]']) refuse(text, 'not_an_object')
})

messages('decodes strictly: bytes that are not UTF-8 are rejected, not replaced', () => {
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
    const decoded = decodeUtf8(Buffer.from(bytes))
    assert.ok(typeof decoded !== 'string' && decoded.error.reason === 'invalid_utf8', String(bytes))
  }
  assert.is(decodeUtf8(Buffer.from('"Zoë 𝒳"')), '"Zoë 𝒳"')
})

messages('requires an event_id of 1 to 255 characters without control characters', () => {
  refuse({}, 'invalid_event_id')
  refuse({ event_id: null }, 'invalid_event_id')
  for (const bad of ['', 1, true, [], {}, '.', '..', 'a\nb', 'a\u0000', '\u007f', '\u0085', 'x'.repeat(256)]) {
    refuse({ event_id: bad }, 'invalid_event_id')
  }
  for (const good of ['x', ' ', '...', '.a', '..a', '%2e%2e', 'a.b.#', '*', 'Ereignis 1/2?', 'x'.repeat(255)]) {
    assert.is(accept({ event_id: good }).event_id, good)
  }
})

messages('counts characters as code points, as Python does', () => {
  for (const field of ['event_id', 'message_id'] as const) {
    const at = ASTRAL.repeat(255)
    assert.is(accept({ event_id: 'e', [field]: at })[field], at)
    refuse({ event_id: 'e', [field]: ASTRAL.repeat(256) }, `invalid_${field}`)
    refuse({ event_id: 'e', [field]: `${ASTRAL.repeat(255)}x` }, `invalid_${field}`)
  }
})

messages('refuses ids with a lone surrogate, which the store could not tell apart', () => {
  refuse(String.raw`{"event_id":"\ud800"}`, 'invalid_event_id')
  refuse(String.raw`{"event_id":"e","message_id":"a\udfff"}`, 'invalid_message_id')
  assert.is(accept(String.raw`{"event_id":"\ud835\udcb3"}`).event_id, ASTRAL)
})

messages('rejects a message_id that is not a string of 1 to 255 characters', () => {
  for (const bad of ['', 7, {}, 'm'.repeat(256)]) refuse({ event_id: 'e', message_id: bad }, 'invalid_message_id')
  assert.is(accept({ event_id: 'e', message_id: 'a\nb' }).message_id, 'a\nb', 'control characters are the sender’s')
})

messages('refuses senders, types and rounds of a wrong kind', () => {
  for (const bad of [1, true, {}, []]) {
    refuse({ event_id: 'e', message_from: bad }, 'invalid_message_from')
    refuse({ event_id: 'e', source: bad }, 'invalid_message_from')
    refuse({ event_id: 'e', message_type: bad }, 'invalid_message_type')
    refuse({ event_id: 'e', type: bad }, 'invalid_message_type')
  }
  for (const bad of ['1.5', '9007199254740993', '1e400', '[]', 'true']) {
    refuse(`{"event_id":"e","round_id":${bad}}`, 'invalid_round_id')
  }
  for (const bad of ['', ' 1', '1.0', '-1', '1e2', '0x1', '１', 'two', '1234567890123456', '1\n']) {
    refuse({ event_id: 'e', round_id: bad }, 'invalid_round_id')
  }
  assert.is(accept({ event_id: 'e', round_id: -9007199254740991 }).round_id, -9007199254740991)
})

messages('reads a round that a language model wrote as digits, and leaves the text as it was published', () => {
  const { round_id, body } = accept({ event_id: 'e', round_id: '02' })
  assert.is(round_id, 2)
  assert.is(body, '{"event_id":"e","round_id":"02"}')
  assert.is(accept({ event_id: 'e', round_id: '999999999999999' }).round_id, 999_999_999_999_999)
})

messages('every reason that it returns is in the catalogue as an error of the sender', () => {
  const checks = ['x', '1', '{}', '{"event_id":"e","message_id":1}', '{"event_id":"e","type":1}']
  for (const text of checks) {
    const checked = validateMessage(text, ARRIVAL)
    assert.ok('error' in checked && ERRORS[checked.error.reason].status === 400, text)
  }
})

messages('reads source and type where message_from and message_type are absent', () => {
  const message = accept({ event_id: 'e', source: 's', type: 't' })
  assert.equal([message.message_from, message.message_type], ['s', 't'])
})

messages('takes the field rather than its alias, whatever the alias holds', () => {
  const message = accept({ event_id: 'e', source: 5, message_from: 'a', type: [], message_type: 'b' })
  assert.equal([message.message_from, message.message_type], ['a', 'b'])
})

messages('treats null as absent', () => {
  const nothing = { message_id: null, message_from: null, message_type: null, round_id: null }
  const message = accept({ event_id: 'e', ...nothing, source: 's', type: null })
  assert.equal(
    [message.message_id, message.message_from, message.message_type, message.round_id],
    ['made-id', 's', null, null],
  )
  assert.is(message.lacks, MISSING_MESSAGE_ID)
})

messages('uses the AMQP property as message_id, unless the body has one', () => {
  assert.is(accept({ event_id: 'e' }, { message_id: 'property' }).message_id, 'property')
  assert.is(accept({ event_id: 'e', message_id: 'body' }, { message_id: 'property' }).message_id, 'body')
  assert.is(accept({ event_id: 'e' }, { message_id: '' }).message_id, 'made-id', 'an empty property is none')
  refuse({ event_id: 'e' }, 'invalid_message_id', { message_id: 'p'.repeat(256) })
  assert.is(accept({ event_id: 'e', message_id: 'body' }, { message_id: 'p'.repeat(256) }).message_id, 'body')
})

messages('takes the event from the path, and refuses a body that names another', () => {
  assert.is(accept({}, { event_id: 'path' }).lacks, MISSING_EVENT_ID | MISSING_MESSAGE_ID)
  assert.is(accept({ event_id: 'path' }, { event_id: 'path' }).lacks, MISSING_MESSAGE_ID)
  refuse({ event_id: 'other' }, 'event_mismatch', { event_id: 'path' })
})

messages('documents exactly the fields that it reads', () => {
  const fields = 'event_id message_id message_from source message_type type message_content content round_id'
  assert.equal(Object.keys(PublishedMessage.shape).sort(), fields.split(' ').sort())
})

const delivery = suite('the text of a delivered message')

delivery('appends the gateway’s keys to the published text', () => {
  assert.is(deliver('{"event_id":"e","message_id":"m"}'), `{"event_id":"e","message_id":"m",${OWN_KEYS}`)
  assert.is(deliver('{"event_id":"e"}'), `{"event_id":"e","message_id":"made-id",${OWN_KEYS}`)
})

delivery('handles an empty object', () => {
  for (const empty of ['{}', ' { } ', '{\r\n}']) {
    const own = `"event_id":"p","message_id":"made-id",${OWN_KEYS}`
    assert.is(deliver(empty, { event_id: 'p' }), `{${own}`)
  }
  assert.is(appendJsonMembers('{}', '"a":1'), '{"a":1}')
  assert.is(appendJsonMembers('{"s":"}"} \n', '"a":1'), '{"s":"}","a":1}')
})

delivery('keeps numbers, escapes and odd characters letter for letter', () => {
  const inner = String.raw`"playbook_id":12302548181076029,"p":1.10,"z":-0,"big":1e400,"n":1E+2,"u":"\u00e9\/\ud800"`
  const body = `{"event_id":"e","message_id":"m",${inner},"sep":"a\u2028b\u2029c","t":"\\t\\n"}`
  const text = deliver(body)
  assert.is(text, `${body.slice(0, -1)},${OWN_KEYS}`)
  assert.is(JSON.parse(text).big, Number.POSITIVE_INFINITY)
})

delivery('keeps white space and line breaks between tokens', () => {
  const body = '\n\t{ "event_id" :\r\n "e" ,\n "message_id":"m",  "list" : [ 1 ,\n2 ]  \n} '
  assert.is(deliver(body), `{ "event_id" :\r\n "e" ,\n "message_id":"m",  "list" : [ 1 ,\n2 ],${OWN_KEYS}`)
})

delivery('overrides published db_id and received_at with the gateway’s, and leaves id unchanged', () => {
  const parsed = JSON.parse(deliver('{"event_id":"e","message_id":"m","db_id":7,"received_at":"then","id":5}'))
  assert.is(parsed.db_id, 123)
  assert.is(parsed.received_at, '2026-11-22T10:00:00.123Z')
  assert.is(parsed.id, 5)
})

delivery('overrides published nulls with the gateway’s ids, and escapes them', () => {
  const odd = 'a"\\\u2028'
  const parsed = JSON.parse(deliver('{"event_id":null,"message_id":null}', { event_id: odd, message_id: odd }))
  assert.equal([parsed.event_id, parsed.message_id], [odd, odd])
})

/** Generates JSON objects that are valid messages for the path `p`, in any equivalent text. */
const anyText = fc
  .record({
    rest: fc.oneof(
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
      fc.object({ withNullPrototype: false, values: [fc.string(), fc.integer(), fc.constant(null), fc.boolean()] }),
    ),
    ids: fc.record(
      { event_id: fc.constantFrom('p', null), message_id: fc.string({ minLength: 1 }) },
      { requiredKeys: [] },
    ),
    indent: fc.constantFrom<string | number | undefined>(undefined, 1, '\t', '\r\n '),
    around: fc.constantFrom('', ' ', '\n', '\r\n\t'),
  })
  .map(({ rest, ids, indent, around }) => {
    const clean = Object.entries(rest).filter(([key]) => !(key in PublishedMessage.shape))
    const entries = [...clean, ...Object.entries(ids)].map(([key, value]) => [key, value ?? null] as const)
    return `${around}${JSON.stringify(Object.fromEntries(entries), null, indent)}${around}`
  })

delivery('parses to the published object plus the gateway’s keys, for any object', () => {
  fc.assert(
    fc.property(anyText, (body) => {
      const published = JSON.parse(body) as Record<string, Json>
      const text = deliver(body, { event_id: 'p' })
      const expected = {
        ...published,
        event_id: 'p',
        message_id: published.message_id ?? 'made-id',
        received_at: '2026-11-22T10:00:00.123Z',
        db_id: 123,
      }
      assert.ok(isDeepStrictEqual(JSON.parse(text), expected), text)
      assert.ok(text.startsWith(body.trim().slice(0, -1).trimEnd()), text)
    }),
    { numRuns: runs(300, 2_000) },
  )
})

messages.run()
delivery.run()
