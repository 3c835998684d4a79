import * as assert from 'uvu/assert'
import type { ErrorCode, GatewayError } from '../../../src/core/errors.ts'
import { type NewMessage, serializeDelivery, validateMessage } from '../../../src/core/message.ts'
import { attributeMessage } from '../../../src/http/auth/attribution.ts'
import { type Principal, toPrincipal } from '../../../src/http/auth/claims.ts'
import { suite } from '../../support/harness/suite.ts'

const accept = (body: string): NewMessage => {
  const result = validateMessage(body, { received_at: 0, event_id: 'e', makeId: () => 'made' })
  assert.ok('message' in result, body)
  return result.message
}

const holder = (claims: Record<string, unknown>): Principal =>
  toPrincipal('token', { exp: 1, events: '*', ...claims }, { defaultEvents: null, defaultScope: null })

const ANN = holder({ sub: 'ann', name: 'Ann Lee', scope: 'chat' })
const AGENT = holder({ sub: 'agent-7', scope: 'publish' })

/** What a subscriber parses. */
const deliver = (body: string, principal: Principal) =>
  JSON.parse(serializeDelivery({ ...attributeMessage(accept(body), principal), db_id: 1 }))

const refused = (body: string, principal: Principal, code: ErrorCode): void => {
  try {
    attributeMessage(accept(body), principal)
  } catch (error) {
    assert.is((error as GatewayError).code, code, String(error))
    return
  }
  assert.unreachable(body)
}

const attribution = suite('attribution')

attribution('a message with a token carries its sub, whatever it claims itself', () => {
  const body = '{"message_from":"_captain","id":12302548181076029,"published_by":"root"}'
  const { body: stored, message_from } = attributeMessage(accept(body), AGENT)
  assert.is(stored, `${body.slice(0, -1)},"published_by":"agent-7"}`)
  assert.is(message_from, '_captain')
  assert.is(deliver(body, AGENT).published_by, 'agent-7')
  assert.is(deliver('{}', AGENT).published_by, 'agent-7')
  assert.is(deliver('{ "a":1 }\n', AGENT).published_by, 'agent-7')
  assert.is(deliver('{"published\\u005fby":"root"}', AGENT).published_by, 'agent-7')
  assert.is(deliver('{"published_by":"root"}', holder({ scope: 'publish' })).published_by, null)
  assert.is(deliver('{}', holder({ sub: '","x":"', scope: 'publish' })).published_by, '","x":"')
})

attribution('a person writes as the subject and the name of the token', () => {
  const forged = {
    message_type: 'user_message',
    message_from: '_captain',
    source: '_captain',
    user_id: 'another',
    user_nickname: 'Another',
    sender_type: 'ai',
    published_by: 'another',
    message_content: { type: 'text', text: 'hello' },
  }
  const delivered = deliver(JSON.stringify(forged), ANN)
  const author = { message_from: 'ann', user_id: 'ann', user_nickname: 'Ann Lee', sender_type: 'user' }
  const { message_type, message_content, event_id, message_id, received_at, db_id, source, ...keys } = delivered
  assert.equal(keys, { ...author, published_by: 'ann' })
  assert.equal(message_content, forged.message_content)
  // Filters use this field.
  assert.is(attributeMessage(accept(JSON.stringify(forged)), ANN).message_from, 'ann')
  const unnamed = holder({ sub: 'bob', scope: 'chat' })
  assert.is(deliver(JSON.stringify(forged), unnamed).user_nickname, null)
})

attribution('a person writes chat and user_message only', () => {
  for (const type of ['chat', 'user_message']) attributeMessage(accept(`{"message_type":"${type}"}`), ANN)
  attributeMessage(accept('{"type":"chat"}'), ANN)
  for (const body of [
    '{}',
    '{"message_type":"llm_response"}',
    '{"message_type":"chat "}',
    '{"type":"command_result"}',
  ]) {
    refused(body, ANN, 'chat_forbidden')
    attributeMessage(accept(body), AGENT)
  }
})

attribution('a person has a sub, which is not the name of an agent', () => {
  const body = '{"message_type":"chat"}'
  const subjects = [undefined, '', '_captain', '_', 'system', 'ai_assistant', 'a\nb', '\ud800', 'x'.repeat(256)]
  for (const sub of subjects) refused(body, holder({ sub, scope: 'chat' }), 'chat_forbidden')
  for (const sub of ['ann', 'system2', 'a_b', '张三', 42])
    attributeMessage(accept(body), holder({ sub, scope: 'chat' }))
})

attribution.run()
