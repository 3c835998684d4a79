import * as assert from 'uvu/assert'
import { SCENARIOS } from '../../../src/cli/demo/scenarios/index.ts'
import { messageText, type ScheduledMessage, writeScript } from '../../../src/cli/demo/script.ts'
import { validateMessage } from '../../../src/core/message.ts'
import { DEEPSOC } from '../../../src/publisher/deepsoc.ts'
import { jsonLines, runCli, startCli } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, type Json, tempDir, until } from '../../support/harness/wait.ts'
import { countMessages, messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { FIXTURE } from '../../support/stages/stage.ts'

const SEEDS = Array.from({ length: 25 }, (_, seed) => seed)
const NOW = Date.parse('2026-11-22T10:00:00Z')

const play = (seed: number, events = 1) => writeScript({ seed, events, run: 'r' })
const textOf = (cue: ScheduledMessage, id: number) => messageText(cue, { id, message_id: `m${id}`, now: NOW + cue.at })

const script = suite('the script of the demo')

script('is the same for the same seed, but for the name of the run, and another for another', () => {
  assert.equal(play(7, 3), play(7, 3))
  const renamed = writeScript({ seed: 7, events: 3, run: 'other' })
  const without = (cues: ScheduledMessage[], run: string) => JSON.stringify(cues).replaceAll(`-${run}-`, '-')
  assert.is(without(renamed, 'other'), without(play(7, 3), 'r'))
  assert.is(new Set(SEEDS.map((seed) => JSON.stringify(play(seed)))).size, SEEDS.length)
})

script('shows every role with every type of message, in each incident', () => {
  const expected = Object.values(DEEPSOC).flatMap(({ from, types }) =>
    Object.keys(types).map((type) => `${from} ${type}`),
  )
  for (const seed of SEEDS) {
    const roles = new Set(['system', 'ai_assistant', '_captain', '_manager', '_operator', '_executor', '_expert'])
    const seen = play(seed).map(({ beat }) => `${roles.has(beat.from) ? beat.from : null} ${beat.type}`)
    assert.equal([...new Set(seen)].sort(), [...expected].sort(), `seed ${seed}`)
  }
})

script('plays every scenario, one of them in Chinese, and each in several rounds', () => {
  const slugs = new Set(SEEDS.map((seed) => play(seed)[0]!.event_id.replace(/-r-1$/, '')))
  assert.is(slugs.size, SCENARIOS.length)
  for (const seed of SEEDS) {
    const cues = play(seed)
    const rounds = cues.map(({ beat }) => beat.round).filter((round) => round !== null)
    assert.equal(
      rounds,
      [...rounds].sort((a, b) => a - b),
    )
    assert.ok(rounds.at(-1)! >= 2)
    const responses = cues.map(({ beat }) => (beat.data as Json).response_type).filter(Boolean)
    for (const kind of ['TASK', 'ROGER', 'ACTION', 'COMMAND']) assert.ok(responses.includes(kind), kind)
    assert.is(responses.at(-1), 'MISSION_COMPLETE')
  }
  assert.ok(SEEDS.some((seed) => /指挥官正在分析/.test(JSON.stringify(play(seed)))))
})

script('goes at the speed of people', () => {
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
    assert.equal(Object.keys(message), keys)
    assert.not.match(text, '{{|undefined|NaN|\\[object')
    const chat = message.message_category === 'engineer_chat'
    const content = Object.keys(message.message_content)
    if (!chat) assert.equal(content, ['data', 'timestamp'])
    else assert.equal(content, message.sender_type === 'user' ? ['type', 'text'] : ['content', 'timestamp'])
  }
})

script('refers to what was said before, and to playbooks beyond 2^53', () => {
  for (const seed of SEEDS) {
    const texts = play(seed).map(textOf)
    const ids = [...texts.join('\n').matchAll(/"playbook_id":(\d+)/g)].map(([, id]) => id!)
    assert.ok(ids.length > 4 && ids.every((id) => BigInt(id) > 2n ** 53n))
    const messages = texts.map((text) => JSON.parse(text))
    const known = new Set<string>()
    for (const { message_type, message_content } of messages) {
      const { data } = message_content
      for (const task of data?.tasks ?? []) known.add(task.task_id)
      if (message_type === 'action_created') known.add(data.action_details.action_id)
      if (message_type === 'command_created') known.add(data.command_details.command_id)
      const uses = { ...data?.action_details, ...data?.command_details, ...data }
      if (message_type === 'action_created') assert.ok(known.has(uses.task_id))
      if (message_type === 'command_created') assert.ok(known.has(uses.action_id))
      if (message_type === 'command_result') assert.ok(known.has(uses.command_id))
    }
  }
})

let gateway: Gateway
const env = () => ({ PORT: new URL(gateway.url).port })

const demo = suite('demo')

demo.before(async () => {
  gateway = await startGateway()
})
demo.after(() => gateway.dispose())

/** What of a message is the script's, not the run's. */
const scripted = (text: string): string =>
  text.replace(/"(message_id|timestamp|created_at|updated_at)":"[^"]*"/g, '').replace(/-[0-9a-f]{6}-(\d+)"/g, '-$1"')

demo('--print twice with one seed gives the same messages, each run with ids of its own', async () => {
  const [one, two] = await Promise.all([1, 2].map(() => runCli(['demo', '--print', '--seed', '11', '--events', '2'])))
  assert.equal([one!.code, one!.stderr], [0, ''])
  assert.is(scripted(one!.stdout), scripted(two!.stdout))
  const idsOf = (text: string) => jsonLines<{ message_id: string; event_id: string }>(text)
  const both = [...idsOf(one!.stdout), ...idsOf(two!.stdout)]
  assert.is(new Set(both.map(({ message_id }) => message_id)).size, both.length)
  assert.is(new Set(both.map(({ event_id }) => event_id)).size, 4)
})

demo('plays over HTTP, in order, and says where to look', async () => {
  const printed = await runCli(['demo', '--print', '--seed', '5', '--events', '2'])
  const { code, stdout, stderr } = await runCli(['demo', '--seed', '5', '--events', '2', '--speed', '5000'], {
    env: env(),
  })
  assert.equal([code, stdout], [0, ''])
  const pages = [...stderr.matchAll(/(http:\S+)\/events\/(\S+)/g)]
  assert.equal(
    pages.map(([, base]) => base),
    [gateway.url, gateway.url],
  )
  for (const [, , event] of pages) {
    const slug = event!.replace(/-[0-9a-f]{6}-\d$/, '')
    const wanted = printed.stdout.split('\n').filter((text) => text.includes(`"event_id":"${slug}-`))
    const stored = messageRows(gateway.dbFile, event!).map(({ body }) => body)
    assert.equal(stored.map(scripted), wanted.map(scripted))
  }
  assert.match(stderr, /\d+ messages published\.\n$/)
})

demo('SIGINT stops it with 130', async () => {
  const run = startCli(['demo', '--seed', '5', '--speed', '20'], { env: env() })
  const before = countMessages(gateway.dbFile)
  await until(() => countMessages(gateway.dbFile) > before + 3, { what: 'the play is under way' })
  const from = performance.now()
  run.child.kill('SIGINT')
  const { code, stderr } = await run.done
  assert.is(code, 130)
  assert.ok(performance.now() - from < 15_000)
  assert.match(stderr, 'interrupted')
})

demo('without a gateway it ends with 1 and what to do', async () => {
  const lone = { PORT: String(await freePort()) }
  const { code, stderr } = await runCli(['demo', '--speed', '5000'], { env: lone })
  assert.is(code, 1)
  assert.match(stderr, /no_gateway[\s\S]*hint: Start the gateway/)
})

for (const workers of ['1', '2']) {
  demo(
    `serve --demo with ${workers} worker${workers === '1' ? '' : 's'} serves a living war room and stops in order`,
    async () => {
      const served = await startGateway({
        args: ['--demo', '--events', '1', '--speed', '2000'],
        dataDir: tempDir('gateway-demo-'),
        env: { WORKERS: workers, SHUTDOWN_SECONDS: '8' },
      })
      try {
        const wholeIncident = async () => {
          const { body } = await getJson(`${served.url}/api/events`)
          return body.data.length > 1
        }
        // A second incident begins only when the first is closed.
        await until(wholeIncident, { what: 'the second incident' })
        assert.match(served.output(), `${served.url}/events/`)
        const { code } = await served.term('SIGINT')
        assert.is(code, 0, served.output())
        assert.not.match(served.output(), 'The demo was interrupted')
        const [first] = messageRows(served.dbFile)
        const rows = messageRows(served.dbFile, first!.event_id)
        assert.ok(rows.length > 50, `${rows.length} messages`)
        assert.is(rows.at(-1)!.message_type, 'chat')
      } finally {
        await served.dispose()
      }
    },
  )
}

script.run()
demo.run()
