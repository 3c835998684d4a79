import * as assert from 'uvu/assert'
import {
  createPublishedByVerifier,
  derivePublishedByKey,
  PUBLISHED_BY_HEADER,
  signPublishedBy,
} from '../../../src/amqp/published-by.ts'
import {
  type NewMessage,
  serializeDelivery,
  UNVERIFIED_PUBLISHED_BY,
  validateMessage,
} from '../../../src/core/message.ts'
import { type QuarantineRow, revalidate } from '../../../src/core/quarantine.ts'
import { suite } from '../../support/harness/suite.ts'

const KEY = derivePublishedByKey('a secret of the tests, of more than thirty-two bytes')
const BODY = '{"event_id":"e","published_by":"ann"}'

const accept = (body: string, verifyPublishedBy?: (id: string) => boolean): NewMessage => {
  const context = {
    received_at: 0,
    message_id: 'm',
    makeId: () => 'made',
    ...(verifyPublishedBy && { verifyPublishedBy }),
  }
  const result = validateMessage(body, context)
  assert.ok('message' in result, body)
  return result.message
}

const published = suite('published_by')

published('of a publisher is null in deliveries, and its text is stored unchanged', () => {
  for (const body of [
    BODY,
    '{"event_id":"e","published_by":null}',
    '{"event_id":"e","published\\u005fby":{"a":1}}\n',
  ]) {
    const message = accept(body)
    assert.is(message.lacks & UNVERIFIED_PUBLISHED_BY, UNVERIFIED_PUBLISHED_BY, body)
    assert.is(message.body, body)
    const text = serializeDelivery({ ...message, db_id: 1 })
    assert.is(JSON.parse(text).published_by, null, text)
    assert.ok(text.startsWith(body.trim().slice(0, -1)), text)
  }
  const other = accept('{"event_id":"e","nested":{"published_by":"ann"},"toString":1}')
  assert.is(other.lacks & UNVERIFIED_PUBLISHED_BY, 0)
  assert.not.match(serializeDelivery({ ...other, db_id: 1 }), '"published_by":null')
})

published('of the gateway is delivered', () => {
  const message = accept(BODY, (id) => id === 'm')
  assert.is(message.lacks & UNVERIFIED_PUBLISHED_BY, 0)
  assert.is(JSON.parse(serializeDelivery({ ...message, db_id: 1 })).published_by, 'ann')
})

published('is proved by the header of this body and id only', () => {
  const header = signPublishedBy(KEY, 'm', BODY)
  const isProved = (value: unknown, id = 'm', body = BODY, key: Uint8Array | null = KEY): boolean =>
    createPublishedByVerifier(key)({ [PUBLISHED_BY_HEADER]: value }, id, body)
  assert.is(isProved(header), true)
  assert.is(isProved(header, 'm', BODY, null), false)
  assert.is(isProved(header, 'm', BODY, derivePublishedByKey('another secret')), false)
  assert.is(isProved(header, 'n'), false)
  assert.is(isProved(header, 'm', BODY.replace('ann', 'bob')), false)
  assert.is(isProved(signPublishedBy(KEY, 'm"', BODY), 'm', `"${BODY}`), false)
  assert.is(createPublishedByVerifier(KEY)(undefined, 'm', BODY), false)
  for (const wrong of [
    undefined,
    null,
    1,
    true,
    '',
    'x',
    {},
    [header],
    `${header}A`,
    `${header}=`,
    ` ${header}`,
    header.slice(1),
  ]) {
    assert.is(isProved(wrong), false, JSON.stringify(wrong))
  }
})

published('is verified again when a quarantined message is replayed', () => {
  const row = (headers: unknown): QuarantineRow => ({
    rejected_id: 1,
    received_at: 0,
    reason: 'message_unstorable',
    detail: '',
    exchange: '',
    routing_key: '',
    headers: JSON.stringify(headers),
    properties: '{"messageId":"m"}',
    body: Buffer.from(BODY),
    body_bytes: BODY.length,
    sha256: '',
  })
  const verifyPublishedBy = createPublishedByVerifier(KEY)
  const lacksOf = (headers: unknown): number => {
    const [replay] = revalidate([row(headers)], { limit: 1_000, now: 0, makeId: () => 'made', verifyPublishedBy })
    assert.ok('message' in replay!.result)
    return replay!.result.message.lacks
  }
  assert.is(lacksOf({ [PUBLISHED_BY_HEADER]: signPublishedBy(KEY, 'm', BODY) }) & UNVERIFIED_PUBLISHED_BY, 0)
  assert.ok(lacksOf({}) & UNVERIFIED_PUBLISHED_BY)
})

published.run()
