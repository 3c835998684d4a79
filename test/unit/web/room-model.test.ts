import * as assert from 'uvu/assert'
import { type Entry, toEntry } from '../../../src/web/page/room/model/entry.ts'
import { EventProfile, extractEventFacts } from '../../../src/web/page/room/model/event-facts.ts'
import { parseContent } from '../../../src/web/page/room/model/parse-content.ts'
import { userName } from '../../../src/web/page/room/model/user-names.ts'
import { suite } from '../../support/harness/suite.ts'
import type { Json } from '../../support/harness/wait.ts'
import { FIXTURE } from '../../support/stages/stage.ts'

let db_id = 0

const entry = (message: Json): Entry => {
  const whole = { event_id: 'e', received_at: '2026-11-22T10:00:00.000Z', db_id: ++db_id, ...message }
  return toEntry(whole, JSON.stringify(whole))
}

/** A message with `data`, as DeepSOC's agents send it. */
const typed = (message_type: string, data: Json, message_from = '_captain'): Entry =>
  entry({ message_from, message_type, message_category: 'agent', message_content: { data, timestamp: 't' } })

const read = (message_type: string, data: Json, from?: string): Json => parseContent(typed(message_type, data, from))

const content = suite('the content of a message')

content('of the captain without tasks is its answer, with all other fields', () => {
  const usual = { type: 'llm_response', from: '_captain', event_id: 'e', round_id: 1, req_id: 'r', res_id: 's' }
  for (const answer of ['TASK', 'ROGER', 'MISSION_COMPLETE']) {
    const {
      as,
      text,
      answer: seen,
      orders,
      more,
    } = read('llm_response', {
      ...usual,
      response_type: answer,
      response_text: 'done',
    })
    assert.equal([as, text, seen, orders, more], ['orders', 'done', answer, [], null])
  }
  const odd = read('llm_response', { response_type: 'TASK', tasks: ['as text'], score: 1 })
  assert.equal([odd.as, odd.orders, Object.keys(odd.more)], ['orders', [], ['tasks', 'score']])
  assert.is(read('llm_response', { response_type: 'ROGER', tasks: [] }).answer, 'ROGER')
  assert.is(read('llm_response', { response_type: 'OTHER', response_text: 'x' }).as, 'text')
})

content('of a summary is Markdown under both names of its type', () => {
  for (const type of ['execution_summary', 'execution_summary_generated']) {
    const { as, parts } = read(type, { execution_id: 'x', ai_summary: '**bad**' }, '_expert')
    assert.equal([as, parts], ['markdown', ['**bad**']])
  }
  for (const type of ['event_summary', 'event_summary_generated']) {
    const { as, parts, status } = read(type, { event_summary: '# a', event_status: 'summarized' }, '_expert')
    assert.equal([as, parts, status], ['markdown', ['# a'], 'summarized'])
  }
})

content('of a changed event is its text and status, without what the text repeats', () => {
  const resolved = {
    event_id: 'e',
    event_name: 'SSH',
    resolution_note: 'patched',
    resolved_at: '2026-11-22T10:00:00',
    text: "事件 'SSH' (ID: e) 已解决。备注: patched",
  }
  const { as, text, status, more } = read('event_resolved_manual', resolved, 'system')
  assert.equal([as, text, status, more], ['text', resolved.text, 'resolved', null])
  const next = { event_id: 'e', event_name: 'SSH', previous_round_id: 1, new_round_id: 2, text: 'round 2' }
  const round = read('event_next_round_initiated', next, 'system')
  assert.equal([round.as, round.text, round.status, round.more], ['notice', 'round 2', '', null])
  const completed = read('event_completed_by_captain', { text: 'completed', details: 'all done' })
  assert.equal([completed.text, completed.status, completed.more], ['completed\nall done', 'completed', null])
  const odd = read('event_completed_by_captain', { text: 'completed', details: { n: 1 } })
  assert.equal([odd.text, Object.keys(odd.more)], ['completed', ['details']])
  const status2 = read('status', { event_status: 'processing', event_round: 2 }, 'system')
  assert.equal([status2.as, status2.text, status2.status, status2.more], ['text', '', 'processing', null])
})

content('of a changed execution is its command and status', () => {
  const { as, orders } = read(
    'execution_update',
    { execution_id: 'x-1', status: 'completed', updated_at: 'now' },
    'system',
  )
  assert.equal([as, orders.length, orders[0].status, orders[0].ids], ['orders', 1, 'completed', [['execution', 'x-1']]])
  const waiting = {
    execution_id: 'x-1',
    command_id: 'c-1',
    command_name: '封禁',
    execution_status: 'waiting',
    extra: 1,
  }
  const [item] = read('new_execution', waiting, 'system').orders
  assert.equal([item.title, item.status, Object.keys(item.more)], ['封禁', 'waiting', ['extra']])
})

content('has the summary of the AI among its texts, and not among its details', () => {
  const result = read('command_result', { status: 'done', result: 'ok', ai_summary: '**fine**', note: 1 }, '_executor')
  assert.equal([result.text, result.value, Object.keys(result.order.more)], ['**fine**', 'ok', ['note']])
  const execution = read('execution_update', { execution_id: 'x', ai_summary: 'two', text: 'one' }, 'system')
  assert.equal([execution.text, execution.orders[0].more], ['one\n\ntwo', null])
  assert.is(read('llm_response', { response_text: 'a', ai_summary: 'b', tasks: [{}] }).text, 'a\n\nb')
  assert.is(read('action_created', { text: 'a', ai_summary: 'b', action_details: {} }).text, 'a\n\nb')
  const odd = read('of_tomorrow', { text: 'same', content: 'same', ai_summary: 'b', n: 1 })
  assert.equal([odd.text, odd.more], ['same\n\nb', { n: 1 }])
  assert.is(read('event_completed_by_captain', { text: 'done', ai_summary: 'b' }).text, 'done\n\nb')
})

content('is Markdown if an agent has written it, and plain text of people and of the system', () => {
  const isMarkdown = (message: Json): boolean => parseContent(entry({ message_content: 'x', ...message })).isMarkdown
  for (const message_from of ['_captain', '_expert', 'ai_assistant', 'threat-intel']) {
    assert.is(isMarkdown({ message_from }), true, message_from)
  }
  const person = { message_from: 'ann', sender_type: 'user' }
  const engineer = { message_from: 'ann', message_category: 'engineer_chat' }
  for (const plain of [person, engineer, { message_from: 'system' }, { message_type: 'user_message' }]) {
    assert.is(isMarkdown(plain), false, JSON.stringify(plain))
  }
  assert.is(isMarkdown({ message_from: 'ai_assistant', message_category: 'engineer_chat' }), true)
})

content.run()

const facts = suite('what messages tell about their event')

facts('is its name, severity and status, by the messages of DeepSOC', () => {
  const of = (type: string, data: Json, from = '_captain') => typed(type, data, from).facts
  assert.equal(of('llm_response', { event_name: 'SSH爆破', response_type: 'TASK' }), {
    name: 'SSH爆破',
    severity: '',
    status: '',
  })
  assert.equal(of('event_summary_generated', { event_name: 'a', event_status: 'summarized', severity: 'high' }), {
    name: 'a',
    severity: 'high',
    status: 'summarized',
  })
  assert.is(of('event_next_round_initiated', { event_name: 'a' })?.status, 'pending')
  assert.is(of('event_completed_by_captain', { text: '' })?.status, 'completed')
  assert.is(of('event_resolved_manual', { event_name: 'a' })?.status, 'resolved')
  assert.is(of('system_notification', { response_text: '系统创建了安全事件: 挖矿' }, 'system')?.name, '挖矿')
  assert.is(of('system_notification', { response_text: '系统创建了安全事件: 未命名事件' }, 'system'), null)
  assert.is(of('status', { event_status: 'failed' }, 'system')?.status, 'failed')
  assert.is(of('llm_response', { text: 'x' }), null)
  assert.is(entry({ message_type: 'status', message_content: { event_status: 'failed' } }).facts?.status, 'failed')
})

facts('are not taken from people or the AI, nor from what is not an object', () => {
  const message_content = { data: { event_name: 'forged' } }
  for (const odd of [{ message_category: 'engineer_chat' }, { sender_type: 'user' }, { sender_type: 'ai' }]) {
    assert.is(extractEventFacts({ message_type: 'chat', message_content, ...odd }), null)
  }
  for (const odd of [null, 'text', 7, [], { data: [] }, { data: null }, { data: { event_name: 7 } }]) {
    assert.is(extractEventFacts({ message_type: 'x', message_content: odd }), null, JSON.stringify(odd))
  }
})

facts('are the newest of each, in whatever order they are loaded', () => {
  const profile = new EventProfile()
  assert.is(profile.add(5, { name: '', severity: 'high', status: 'completed' }), true)
  assert.is(profile.add(2, { name: 'first', severity: 'low', status: 'pending' }), true)
  assert.is(profile.add(3, { name: 'second', severity: '', status: '' }), true)
  assert.is(profile.add(3, { name: 'second', severity: '', status: '' }), false)
  assert.is(profile.add(9, null), false)
  assert.equal([profile.name, profile.severity, profile.status], ['second', 'high', 'completed'])
})

facts.run()

const entries = suite('an entry')

entries('has the round also if it was published as digits', () => {
  const rounds = [3, '3', '03', 'three', '', null, '1234567890123456'].map((round_id) => entry({ round_id }).round)
  assert.equal(rounds, [3, 3, 3, null, null, null, null])
})

entries('names a user by the nickname, which one message of the user is enough for', () => {
  const name = (message: Json): string | null => {
    const { user } = entry(message)
    return user === null ? null : userName(user)
  }
  const id = 'f5c0619c-451e-47ec-a665-a2e42c258e24'
  assert.is(name({ message_from: id, sender_type: 'user' }), id)
  assert.is(name({ message_from: 'user', user_id: id, user_nickname: '小王' }), '小王')
  assert.is(name({ message_from: id, user_id: id, sender_type: 'user', user_nickname: null }), '小王')
  assert.is(name({ message_from: 'user', user_username: 'li' }), 'li')
  assert.is(name({ message_from: 'user' }), '')
  assert.is(name({ source: 'ann' }), 'ann')
  assert.is(name({ message_from: '_captain', user_nickname: 'x' }), null)
})

entries('is that of the AI if its answer failed', () => {
  assert.is(entry({ message_from: 'system', sender_type: 'ai', message_type: 'chat' }).role, 'ai')
})

entries('has the answer of a language model', () => {
  assert.is(typed('llm_response', { response_type: 'ROGER' }).answer, 'ROGER')
  for (const odd of [null, 'text', [], { data: null }, { data: 'x' }, { data: { response_type: null } }]) {
    assert.is(entry({ message_content: odd }).answer, '', JSON.stringify(odd))
  }
})

entries('can be made of every message of DeepSOC', () => {
  const made = FIXTURE.map((line) => entry(JSON.parse(line)))
  assert.equal(
    made.map(({ facts }) => facts?.name ?? ''),
    ['', 'SSH爆破', '', '', '', '', '', '', 'SSH爆破', ''],
  )
  assert.ok(made.every((one) => parseContent(one).as !== 'json'))
})

entries.run()
