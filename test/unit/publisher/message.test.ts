import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { validateMessage } from '../../../src/core/message.ts'
import { DEEPSOC, deepsoc, type PublishError, type PublishErrorCode, routingKey } from '../../../src/publisher/index.ts'
import { createMessageId, encode, encodeText } from '../../../src/publisher/message.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import type { Json } from '../../support/harness/wait.ts'
import { FIXTURE } from '../../support/stages/stage.ts'

const test = suite('publisher-message')

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const MOST = 1_048_576

const refused = (make: () => unknown, code: PublishErrorCode, about: RegExp): void => {
  try {
    make()
  } catch (error) {
    const { code: seen, message, deliveryStatus } = error as PublishError
    assert.is(seen, code, message)
    assert.match(message, about)
    assert.is(deliveryStatus, 'not_sent')
    return
  }
  assert.unreachable(`no ${code}`)
}

/** Returns the message as the gateway parses it. */
const asGatewaySees = (body: Uint8Array) => {
  const checked = validateMessage(Buffer.from(body).toString(), { received_at: 1, makeId: () => 'made by the gateway' })
  if ('error' in checked) throw new Error(`${checked.error.reason}: ${checked.error.detail}`)
  return checked.message
}

test('a message gets an id of its own where it has none, and keeps the one it has', () => {
  const made = encode({ event_id: 'e', message_content: 1 }, MOST)
  assert.match(made.message_id, UUID_V7)
  assert.is(asGatewaySees(made.body).message_id, made.message_id)
  assert.is(encode({ event_id: 'e', message_id: 'mine' }, MOST).message_id, 'mine')
  assert.is(encode({ event_id: 'e', message_id: null }, MOST).body.toString().includes('null'), false)
})

test('ids made in bulk differ and carry the time of their making', () => {
  const made = Array.from({ length: 2_000 }, () => ({ before: Date.now(), id: createMessageId() }))
  assert.is(new Set(made.map(({ id }) => id)).size, made.length)
  for (const { before, id } of made) {
    assert.match(id, UUID_V7)
    const time = Number.parseInt(id.replace('-', '').slice(0, 12), 16)
    assert.ok(time >= before && time <= Date.now(), id)
  }
})

test('the routing key of any event and type has four words that AMQP can carry', () => {
  assert.is(routingKey('a.b', 'llm_response'), 'notifications.frontend.a_b.llm_response')
  assert.is(routingKey('e', null), 'notifications.frontend.e.message')
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.string({ unit: 'binary', maxLength: 400 }),
      (id, type) => {
        const key = routingKey(id, type)
        return /^notifications\.frontend\.[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}$/.test(key)
      },
    ),
  )
})

test('a round is a number or digits, as in the gateway', () => {
  for (const round_id of [2, '2', '02']) {
    assert.is(asGatewaySees(encode({ event_id: 'e', round_id }, MOST).body).round_id, 2)
  }
})

test('whatever the publisher takes, the gateway takes', () => {
  const message = fc.record(
    {
      event_id: fc.string({ unit: 'binary', maxLength: 300 }),
      message_id: fc.option(fc.string({ unit: 'binary', maxLength: 300 })),
      message_from: fc.oneof(fc.string(), fc.constant(null), fc.integer()),
      message_type: fc.oneof(fc.string(), fc.constant(null), fc.integer()),
      source: fc.jsonValue(),
      type: fc.jsonValue(),
      round_id: fc.oneof(fc.integer(), fc.double(), fc.constant(null), fc.nat().map(String), fc.string()),
      message_content: fc.jsonValue(),
    },
    { requiredKeys: ['event_id'] },
  )
  const RUNS = runs(200, 5_000)
  let taken = 0
  fc.assert(
    fc.property(message, (one) => {
      let encoded: ReturnType<typeof encode>
      try {
        encoded = encode(one as never, MOST)
      } catch (error) {
        assert.is((error as PublishError).code, 'invalid_message')
        return
      }
      taken++
      const seen = asGatewaySees(encoded.body)
      assert.is(seen.event_id, one.event_id)
      assert.is(seen.message_id, encoded.message_id)
    }),
    { numRuns: RUNS },
  )
  assert.ok(taken > RUNS / 50, `${taken} of ${RUNS} were taken`)
})

test('an invalid message is rejected with the name of the field', () => {
  const cases: [unknown, RegExp][] = [
    [{}, /event_id/],
    [{ event_id: '' }, /event_id/],
    [{ event_id: 'a\nb' }, /event_id/],
    [{ event_id: '.' }, /event_id/],
    [{ event_id: '..' }, /event_id/],
    [{ event_id: 'x'.repeat(256) }, /event_id/],
    [{ event_id: '\ud800' }, /event_id/],
    [{ event_id: 'e', message_id: 7 }, /message_id/],
    [{ event_id: 'e', message_id: '' }, /message_id/],
    [{ event_id: 'e', message_from: 7 }, /message_from/],
    [{ event_id: 'e', type: 7 }, /message_type/],
    [{ event_id: 'e', round_id: 1.5 }, /round_id/],
    [{ event_id: 'e', round_id: 'one' }, /round_id/],
    [{ event_id: 'e', message_content: { score: Number.NaN } }, /"score" is NaN/],
    [{ event_id: 'e', message_content: [Number.POSITIVE_INFINITY] }, /Infinity/],
    [[], /object/],
    ['text', /object/],
    [null, /object/],
  ]
  for (const [message, about] of cases) refused(() => encode(message as never, MOST), 'invalid_message', about)
  const round: Record<string, unknown> = { event_id: 'e' }
  round.self = round
  refused(() => encode(round as never, MOST), 'invalid_message', /cannot be encoded as JSON/)
})

test('a body above the limit is refused before it is sent', () => {
  const message = { event_id: 'e', message_id: 'm', message_content: '内'.repeat(100) }
  const { length } = Buffer.from(JSON.stringify(message))
  assert.is(encode(message, length).body.length, length)
  refused(() => encode(message, length - 1), 'message_too_large', new RegExp(String(length)))
})

test('numbers of any size arrive digit for digit', () => {
  const { body } = encode({ event_id: 'e', message_content: { playbook_id: 12302548181076029n } }, MOST)
  assert.ok(body.toString().includes('"playbook_id":12302548181076029}'))
  const text = '{ "event_id" : "e", "message_id":"m", "n": 12302548181076029, "price": 1.10 }'
  assert.is(encodeText(text, undefined, MOST).body.toString(), text)
})

test('JSON text is kept unchanged, and only missing keys are added', () => {
  const added = encodeText(' { "n": 1.10 } ', 'from outside', MOST)
  const seen = asGatewaySees(added.body)
  assert.is(seen.event_id, 'from outside')
  assert.is(seen.message_id, added.message_id)
  assert.is(seen.lacks, 0)
  assert.ok(added.body.toString().startsWith(' { "n": 1.10,'))
  assert.is(asGatewaySees(encodeText('{}', 'e', MOST).body).event_id, 'e')
  assert.is(encodeText('{"event_id":"own"}', 'other', MOST).event_id, 'own')
  for (const text of ['', '{', '[]', '1', 'null', '{"n":NaN}']) {
    refused(() => encodeText(text, 'e', MOST), 'invalid_message', /JSON/)
  }
  refused(() => encodeText('{}', undefined, MOST), 'invalid_message', /event_id/)
})

const PLACE = { event_id: 'e', round_id: 2, at: new Date('2026-11-22T10:00:00.123Z') }

const DATA = {
  text: 'text',
  response_text: 'text',
  response_type: 'TASK',
  tasks: [],
  actions: [],
  commands: [],
  event_summary: '#',
}

test('every role and type of the table has a helper, whose message the gateway accepts as such', () => {
  let walked = 0
  for (const [role, { from, types }] of Object.entries(DEEPSOC)) {
    for (const type of Object.keys(types)) {
      const make = (deepsoc as never as Record<string, Record<string, (place: object, data: object) => object>>)[role]![
        type
      ]!
      const message = make({ ...PLACE, user_id: 'u-1' }, DATA) as Record<string, unknown>
      const { body, message_id } = encode(message as never, MOST)
      const seen = asGatewaySees(body)
      assert.is(seen.message_type, type)
      assert.is(seen.message_from, from ?? (type === 'user_message' ? 'user' : 'u-1'))
      assert.is(seen.event_id, 'e')
      assert.is(seen.round_id, 2)
      assert.is(seen.message_id, message_id)
      walked++
    }
  }
  assert.is(walked, 29)
})

test("every message of DeepSOC's own can be made by a helper: same keys, same place of the data", () => {
  const roles = new Map(Object.entries(DEEPSOC).map(([role, { from }]) => [from, role]))
  for (const line of FIXTURE) {
    const theirs = JSON.parse(line)
    const helpers = (deepsoc as never as Record<string, Record<string, (place: object, data: object) => object>>)[
      roles.get(theirs.message_from)!
    ]!
    const { data, content } = theirs.message_content
    const ours = helpers[theirs.message_type]!(
      { event_id: theirs.event_id, round_id: theirs.round_id, chat_session_id: theirs.chat_session_id },
      data ?? { text: content },
    ) as Record<string, Json>
    assert.equal(Object.keys(ours), Object.keys(theirs), theirs.message_type)
    assert.equal(Object.keys(ours.message_content), Object.keys(theirs.message_content), theirs.message_type)
    assert.equal(ours.message_content.data, data, theirs.message_type)
    for (const key of ['message_from', 'message_category', 'sender_type', 'user_id', 'chat_session_id']) {
      assert.is(ours[key], theirs[key], `${theirs.message_type}: ${key}`)
    }
  }
})

test('messages of people and of the AI are those of DeepSOC’s chat and of its war room', () => {
  const place = { event_id: 'e', user_id: 'u-1', chat_session_id: 's', at: PLACE.at }
  const timestamp = '2026-11-22T10:00:00.123Z'
  const outline = (one: Json) => [
    one.message_from,
    one.user_id,
    one.message_category,
    one.sender_type,
    one.chat_session_id,
    one.message_content,
  ]
  const content = { content: 'isolate it?', timestamp }
  const text = { text: 'isolate it?' }
  assert.equal(outline(deepsoc.user.chat(place, text)), ['u-1', 'u-1', 'engineer_chat', 'user', 's', content])
  assert.equal(outline(deepsoc.ai.chat(place, text)), [
    'ai_assistant',
    'ai_assistant',
    'engineer_chat',
    'ai',
    's',
    content,
  ])
  assert.equal(outline(deepsoc.system.chat(place, text)), ['system', 'system', 'engineer_chat', 'ai', 's', content])
  const line = { type: 'text', text: 'isolate it?' }
  assert.equal(outline(deepsoc.user.user_message(place, text)), ['user', 'u-1', 'agent', null, null, line])
  assert.equal(outline(deepsoc.user.user_message({ event_id: 'e' }, text)), ['user', null, 'agent', null, null, line])
  const notification = deepsoc.system.system_notification(place, { response_text: 'new' })
  assert.equal(outline(notification).slice(2, 4), ['agent', null])
})

test('a message made by a helper keeps its id, so that it can be sent again', () => {
  const message = deepsoc.captain.llm_response(PLACE, { response_type: 'TASK', tasks: [] })
  assert.is(encode(message, MOST).message_id, encode(message, MOST).message_id)
  assert.is(deepsoc.system.llm_request({ ...PLACE, message_id: 'mine' }, { text: '…' }).message_id, 'mine')
})

test.run()
