import * as assert from 'uvu/assert'
import { SCENARIOS } from '../../../src/cli/demo/scenarios/index.ts'
import { messageText, type ScheduledMessage, writeScript } from '../../../src/cli/demo/script.ts'
import { validateMessage } from '../../../src/core/message.ts'
import { DEEPSOC } from '../../../src/publisher/deepsoc.ts'
import { suite } from '../../support/harness/suite.ts'
import type { Json } from '../../support/harness/wait.ts'
import { FIXTURE } from '../../support/stages/stage.ts'

const SEEDS = Array.from({ length: 25 }, (_, seed) => seed)
const NOW = Date.parse('2026-11-22T10:00:00Z')

const play = (seed: number, events = 1) => writeScript({ seed, events, run: 'r' })
const textOf = (cue: ScheduledMessage, id: number) => messageText(cue, { id, message_id: `m${id}`, now: NOW + cue.at })

const script = suite('the script of the demo')

script('is the same for the same seed, except for the name of the run, and different for another', () => {
  assert.equal(play(7, 3), play(7, 3))
  const renamed = writeScript({ seed: 7, events: 3, run: 'other' })
  const without = (cues: ScheduledMessage[], run: string) => JSON.stringify(cues).replaceAll(`-${run}-`, '-')
  assert.is(without(renamed, 'other'), without(play(7, 3), 'r'))
  assert.is(new Set(SEEDS.map((seed) => JSON.stringify(play(seed)))).size, SEEDS.length)
})

script('shows every role with every type of message, in each incident', () => {
  const expected = Object.values(DEEPSOC).flatMap(({ from, types }) =>
    Object.entries(types).map(([type, form]) => `${form.from ?? from} ${type}`),
  )
  for (const seed of SEEDS) {
    const roles = new Set([
      'system',
      'ai_assistant',
      '_captain',
      '_manager',
      '_operator',
      '_executor',
      '_expert',
      'user',
    ])
    const seen = play(seed).map(({ step }) => `${roles.has(step.from) ? step.from : null} ${step.type}`)
    assert.equal([...new Set(seen)].sort(), [...expected].sort(), `seed ${seed}`)
  }
})

script('plays every scenario, one of them in Chinese, and each in several rounds', () => {
  const slugs = new Set(SEEDS.map((seed) => play(seed)[0]!.event_id.replace(/-r-1$/, '')))
  assert.is(slugs.size, SCENARIOS.length)
  for (const seed of SEEDS) {
    const cues = play(seed)
    const rounds = cues.map(({ step }) => step.round).filter((round) => round !== null)
    assert.equal(
      rounds,
      [...rounds].sort((a, b) => a - b),
    )
    assert.ok(rounds.at(-1)! >= 2)
    const responses = cues.map(({ step }) => (step.data as Json).response_type).filter(Boolean)
    for (const kind of ['TASK', 'ROGER', 'ACTION', 'COMMAND']) assert.ok(responses.includes(kind), kind)
    assert.is(responses.at(-1), 'MISSION_COMPLETE')
  }
  assert.ok(SEEDS.some((seed) => /指挥官正在分析/.test(JSON.stringify(play(seed)))))
})

script('runs at the speed of people', () => {
  for (const seed of SEEDS) {
    const times = play(seed).map(({ at }) => at)
    assert.equal(
      times,
      [...times].sort((a, b) => a - b),
    )
    assert.ok(times.at(-1)! > 90_000 && times.at(-1)! < 480_000, `${times.at(-1)} ms`)
    const pauses = times.map((at, index) => at - (times[index - 1] ?? 0))
    assert.ok(Math.max(...pauses) <= 8_000)
  }
})

script('writes messages in the shape of those of the agents', () => {
  const keys = Object.keys(JSON.parse(FIXTURE[0]!))
  for (const [index, cue] of play(3, 5).entries()) {
    const text = textOf(cue, index + 1)
    const checked = validateMessage(text, { received_at: NOW, makeId: () => 'made' })
    assert.ok('message' in checked, text)
    assert.equal([checked.message.event_id, checked.message.message_id], [cue.event_id, `m${index + 1}`])
    const message = JSON.parse(text)
    const isLine = message.message_type === 'user_message'
    assert.equal(Object.keys(message), isLine ? [...keys, 'user_nickname'] : keys)
    assert.not.match(text, '{{|undefined|NaN|\\[object')
    const chat = message.message_category === 'engineer_chat'
    const content = Object.keys(message.message_content)
    if (chat) assert.equal(content, ['content', 'timestamp'])
    else assert.equal(content, isLine ? ['type', 'text'] : ['data', 'timestamp'])
    assert.is(message.sender_type === null, !chat)
  }
})

script('plays what the real agents send: tasks for specialists, answers without tasks, an answer that failed', () => {
  for (const seed of SEEDS) {
    const messages = play(seed).map((cue, index) => JSON.parse(textOf(cue, index + 1)))
    const dataOf = (type: string): Json[] =>
      messages.filter((one) => one.message_type === type).map((one) => one.message_content.data)
    const [first] = dataOf('system_notification')
    assert.equal(Object.keys(first), ['response_text'])
    for (const data of dataOf('llm_response')) {
      assert.is('tasks' in data, data.response_type === 'TASK', data.response_type)
      assert.is('event_name' in data, data.response_type === 'TASK')
      for (const { task_id, task_assignee } of data.tasks ?? []) {
        assert.is(task_id, undefined, 'it is assigned afterwards')
        assert.match(task_assignee, /^_(analyst|responder|coordinator)$/)
      }
    }
    for (const { details } of dataOf('llm_roger_response')) assert.is(details.response_type, 'ROGER')
    for (const { details } of dataOf('event_completed_by_captain')) assert.type(details, 'string')
    for (const { previous_round_id, new_round_id } of dataOf('event_next_round_initiated'))
      assert.is(new_round_id, previous_round_id + 1)
    const failed = messages.filter((one) => one.message_from === 'system' && one.message_type === 'chat')
    assert.equal([...new Set(failed.map((one) => one.sender_type))], ['ai'])
    const line = messages.find((one) => one.message_type === 'user_message')
    const question = messages.find((one) => one.sender_type === 'user')
    assert.equal([line.message_from, line.message_category, line.round_id], ['user', 'agent', null])
    assert.equal([line.user_id, question.user_id], [question.message_from, question.message_from])
  }
})

script(
  'writes times as DeepSOC: the chat in UTC, all others in the zone of the server, and none names its zone',
  () => {
    const zone = process.env.TZ
    process.env.TZ = 'Asia/Shanghai'
    try {
      for (const [index, cue] of play(3).entries()) {
        const { created_at, message_category } = JSON.parse(textOf({ ...cue, at: 0 }, index + 1))
        assert.is(created_at, message_category === 'engineer_chat' ? '2026-11-22T10:00:00' : '2026-11-22T18:00:00')
      }
    } finally {
      if (zone === undefined) delete process.env.TZ
      else process.env.TZ = zone
    }
  },
)

script('refers to earlier messages, and to playbooks above 2^53', () => {
  for (const seed of SEEDS) {
    const texts = play(seed).map(textOf)
    const ids = [...texts.join('\n').matchAll(/"playbook_id":(\d+)/g)].map(([, id]) => id!)
    assert.ok(ids.length > 4 && ids.every((id) => BigInt(id) > 2n ** 53n))
    const messages = texts.map((text) => JSON.parse(text))
    const known = new Set<string>()
    for (const { message_type, message_content } of messages) {
      const { data } = message_content
      for (const action of data?.actions ?? []) known.add(action.task_id)
      if (message_type === 'action_created') known.add(data.action_details.action_id)
      if (message_type === 'command_created') known.add(data.command_details.command_id)
      const uses = { ...data?.action_details, ...data?.command_details, ...data }
      if (message_type === 'action_created') assert.ok(known.has(uses.task_id))
      if (message_type === 'command_created') assert.ok(known.has(uses.action_id))
      if (message_type === 'command_result') assert.ok(known.has(uses.command_id))
    }
  }
})

script.run()
