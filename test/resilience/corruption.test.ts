// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { openSse, type SseStream } from '../support/clients/sse.ts'
import { suite } from '../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../support/harness/wait.ts'
import { checkpoint, pageWith, zeroPages } from '../support/servers/damage.ts'
import { countMessages } from '../support/servers/database.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { type ControlledBroker, controlledBroker } from '../support/servers/rabbitmq.ts'
import { listMessages, messagesUrl, openStage, streamUrl, waitForMessages } from '../support/stages/stage.ts'

const COUNT = 20
/** Messages of one event whose bodies lose a page each. */
const DAMAGED = [8, 9, 10, 11, 12, 13, 14, 15]
/** Probes of /readyz: at 20 ms each, several checks of the gateway lie between the first and the last. */
const PROBES = 300

const test = suite('corruption')

let broker: ControlledBroker

test.before(async () => {
  broker = await controlledBroker()
})

test.after(async () => {
  await broker?.dispose()
})

const mark = (event_id: string, n: number): string => `<${event_id} ${n}>`

const bodyOf = (event_id: string, n: number): string => {
  const pad = 'x'.repeat(9_000)
  return JSON.stringify({ event_id, message_id: `${event_id}${n}`, n, message_content: [pad, mark(event_id, n), pad] })
}

const bodies = (event_id: string): string[] => Array.from({ length: COUNT }, (_, n) => bodyOf(event_id, n))

/** Zeroes eight pages of the database, each in the body of one message of this event. */
const damageEvent = (file: string, event_id: string): (() => void) => {
  checkpoint(file)
  return zeroPages(
    file,
    DAMAGED.map((n) => pageWith(file, mark(event_id, n))),
  )
}

const faultsOf = async ({ url }: Gateway): Promise<Json> => {
  const { status, body } = await getJson(`${url}/readyz`)
  return [status, body.faults?.map(({ component, code }: Json) => `${component} ${code}`).sort()]
}

const DAMAGE = [503, ['store_read database_corrupt', 'store_write database_corrupt']]

/** Waits until every worker reports the damage, then for many probes of which none reports anything else. */
const reportsSteadily = async (gateway: Gateway): Promise<void> => {
  let row = 0
  await until(
    async () => (row = JSON.stringify(await faultsOf(gateway)) === JSON.stringify(DAMAGE) ? row + 1 : 0) > 30,
    {
      what: 'the damage in /readyz, thirty times in a row',
      saw: () => row,
      everyMs: 20,
    },
  )
  const seen = new Set<string>()
  let probes = 0
  await until(
    async () => {
      seen.add(JSON.stringify(await faultsOf(gateway)))
      return ++probes >= PROBES
    },
    { everyMs: 20 },
  )
  assert.equal([...seen], [JSON.stringify(DAMAGE)])
}

const numbersOf = (stream: SseStream): number[] => listMessages(stream).map(({ data }) => data.n)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Opens a stream that needs damaged rows, and checks what it gets. */
const endsAtTheDamage = async (gateway: Gateway, event_id: string): Promise<void> => {
  const stream = await openSse(streamUrl(gateway, event_id))
  await stream.next('closing')
  assert.is((await stream.closed).reason, 'ended')
  assert.equal(stream.events.at(-1)!.data, { reason: 'database_corrupt' })
  assert.equal(numbersOf(stream), upTo(DAMAGED[0]!), 'everything in front of the damage')
  assert.ok(stream.retry! >= 15_000, `retry: ${stream.retry}`)
}

for (const workers of ['1', '3']) {
  const add = workers === '3' ? test.full : test
  add(`pages zeroed under ${workers} workers cost only what needs them; /readyz is 503 meanwhile`, async () => {
    const gateway = await startGateway({ env: { WORKERS: workers, HEARTBEAT_SECONDS: '1' } })
    try {
      for (const event_id of ['whole', 'hurt']) {
        const url = `${gateway.url}/api/events/${event_id}/messages`
        for (const body of bodies(event_id)) assert.is((await postJson(url, JSON.parse(body))).status, 201)
      }
      const live = await openSse(streamUrl(gateway, 'whole'))
      await live.next('caught_up')
      const repair = damageEvent(gateway.dbFile, 'hurt')
      await endsAtTheDamage(gateway, 'hurt')
      await reportsSteadily(gateway)
      // The damage stays where it was reported, and is not spread by a later connection.
      await endsAtTheDamage(gateway, 'hurt')
      const page = await getJson(messagesUrl(gateway, 'hurt'))
      assert.equal([page.status, page.body.code], [503, 'database_corrupt'])
      assert.ok(page.body.hint.includes('backup'))
      assert.is((await getJson(`${messagesUrl(gateway, 'hurt')}?limit=${DAMAGED[0]}`)).body.data.length, DAMAGED[0])
      assert.is((await getJson(messagesUrl(gateway, 'whole'))).body.data.length, COUNT)
      const late = await openSse(streamUrl(gateway, 'whole'))
      await late.next('caught_up')
      assert.is(listMessages(late).length, COUNT)
      for (const stream of [live, late]) await stream.next('heartbeat')
      const refused = await postJson(messagesUrl(gateway, 'whole'), { message_content: 'refused' })
      assert.equal([refused.status, refused.body.code], [503, 'database_corrupt'])
      assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
      repair()
      await gateway.ready()
      let posted = 0
      await until(async () => {
        posted = (await postJson(messagesUrl(gateway, 'whole'), { message_id: 'after', n: COUNT })).status
        return posted < 300
      })
      await until(async () => (await faultsOf(gateway))[0] === 200)
      for (const stream of [live, late]) assert.equal((await waitForMessages(stream, COUNT + 1)).at(-1)!.data.n, COUNT)
      const healed = await openSse(streamUrl(gateway, 'hurt'))
      await healed.next('caught_up')
      assert.equal(numbersOf(healed), upTo(COUNT))
      assert.not.match(gateway.output(), /"level":"(error|fatal)"|worker exited/)
      for (const stream of [live, late, healed]) stream.close()
    } finally {
      await gateway.dispose()
    }
  })
}

test.full('nothing is acknowledged while the database is damaged, and nothing is lost afterwards', async () => {
  const stage = await openStage(broker.url, 'corrupt')
  const { gateway, names } = stage
  try {
    await stage.publish(bodies('hurt'))
    await stage.stored(COUNT)
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
    const repair = damageEvent(gateway.dbFile, 'hurt')
    await endsAtTheDamage(gateway, 'hurt')
    await until(async () => JSON.stringify(await faultsOf(gateway)) === JSON.stringify(DAMAGE))
    await stage.publish(bodies('whole'))
    await reportsSteadily(gateway)
    assert.is(await broker.queueDepth(names.queue), COUNT)
    assert.is(countMessages(gateway.dbFile), COUNT)
    repair()
    await gateway.ready()
    await stage.stored(2 * COUNT)
    await until(async () => (await broker.queueDepth(names.queue)) === 0, { what: 'an empty queue' })
    const stream = await stage.open('whole')
    await stream.next('caught_up')
    assert.equal(numbersOf(stream), upTo(COUNT))
  } finally {
    await stage.dispose()
  }
})

test.run()
