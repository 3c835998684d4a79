// needs: rabbitmq, pika
// workers: 1; full: 1, 3
import http from 'node:http'
import net from 'node:net'
import * as assert from 'uvu/assert'
import { assertNothingLost, assertSameOnce, IdReader, Load } from '../../support/clients/load.ts'
import { PikaPublisher } from '../../support/clients/pika.ts'
import type { SseStream } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { FULL, runs } from '../../support/harness/tier.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { holdWriteLock, messageRows } from '../../support/servers/database.ts'
import { type Ended, type Gateway, RUN_WORKERS } from '../../support/servers/gateway.ts'
import { queueReady, type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { listMessages, openStage, type Stage, type StageOptions, waitForMessages } from '../../support/stages/stage.ts'

const test = suite('shutdown')

const STREAMS = 20
/** Long enough that an orderly shutdown completes within it on any machine. */
const PATIENT = { SHUTDOWN_SECONDS: '60' }
const RESTARTS = runs(2, RUN_WORKERS === 1 ? 40 : 15)

let broker: SharedBroker

test.before(async () => {
  broker = await sharedBroker()
})

test.after(async () => {
  await broker?.dispose()
})

const onStage = async (options: StageOptions, work: (stage: Stage) => Promise<void>): Promise<void> => {
  const stage = await openStage(broker.url, 'shutdown', options)
  try {
    await work(stage)
  } finally {
    await stage.dispose()
  }
}

/** Asserts that the gateway stopped properly, not by its deadline or a second signal. */
const assertDrained = ({ code, signal }: Ended, gateway: Gateway): void => {
  assert.equal([code, signal], [0, null], gateway.output())
  assert.ok(
    gateway.logs().some(({ msg }) => msg === 'stopped'),
    gateway.output(),
  )
  assert.not.ok(deadlinePassed(gateway), gateway.output())
}

const deadlinePassed = (gateway: Gateway): boolean =>
  gateway.logs().some(({ msg }) => msg?.startsWith('shutdown deadline exceeded'))

const lastRetry = (stream: SseStream): number | undefined => {
  const all = [
    ...stream
      .raw()
      .toString()
      .matchAll(/^retry: (\d+)$/gm),
  ]
  // The first heartbeat is sent at the start of the stream.
  return all.length < 2 ? undefined : Number(all.at(-1)![1])
}

const loadOf = (stage: Stage, event_id: string): { agent: PikaPublisher; load: Load } => {
  const agent = new PikaPublisher({ url: broker.url, exchange: stage.names.exchange, mandatory: true, retry: true })
  return { agent, load: new Load(agent, event_id) }
}

for (const signal of FULL ? (['SIGTERM', 'SIGINT'] as const) : (['SIGTERM'] as const)) {
  test(`${signal} under load ends every stream with a word and the process in order, and loses nothing`, () =>
    onStage({ env: PATIENT }, async (stage) => {
      const { gateway } = stage
      const { agent, load } = loadOf(stage, 'busy')
      const reader = new IdReader(gateway, 'busy', { retryMs: 100 })
      try {
        const streams = await Promise.all(Array.from({ length: STREAMS }, () => stage.open('busy')))
        load.start()
        reader.start()
        await load.more(200)
        await Promise.all(streams.map((stream) => waitForMessages(stream, 100)))

        assertDrained(await gateway.term(signal), gateway)
        const stored = messageRows(gateway.dbFile).map(({ message_id }) => message_id)
        const retries = new Set<number>()
        for (const stream of streams) {
          await stream.closed
          const last = stream.events.at(-1)!
          assert.is(last.event, 'closing')
          assert.equal(last.data, { reason: 'shutdown' })
          const retry = lastRetry(stream) ?? 0
          assert.ok(retry >= 1_000 && retry <= 5_000, `retry ${retry}`)
          retries.add(retry)
          const got = listMessages(stream).map(({ data }) => data.message_id as string)
          assertSameOnce(got, stored.slice(0, got.length), 'what a stream got')
        }
        assert.ok(retries.size > STREAMS / 4, `${retries.size} different delays for ${STREAMS} streams`)

        await gateway.restart()
        await gateway.ready()
        const after = messageRows(gateway.dbFile).map(({ message_id }) => message_id)
        assert.equal(after.slice(0, stored.length), stored)
        await load.more(50)
        await load.stop()
        await assertNothingLost(gateway.dbFile, [load], [reader])
        assert.ok(reader.connections >= 2)
      } finally {
        await reader.stop()
        await agent.kill9()
      }
    }))
}

test('messages committed before a shutdown are acknowledged: the broker does not redeliver them', () =>
  onStage({}, async (stage) => {
    // Without a message_id, a redelivery would be stored as a second row.
    await stage.publish(Array.from({ length: 500 }, (_, n) => `{"event_id":"nameless","n":${n}}`))
    await until(() => messageRows(stage.gateway.dbFile).length > 0, { everyMs: 1 })
    assert.is((await stage.gateway.term()).code, 0)
    const stored = messageRows(stage.gateway.dbFile).length
    await until(async () => (await queueReady(broker.url, stage.names.queue))?.consumers === 0)
    assert.is((await queueReady(broker.url, stage.names.queue))?.messages, 500 - stored)
    await stage.gateway.restart()
    await stage.stored(500)
    await stage.publish(['{"event_id":"nameless","n":500}'])
    await stage.stored(501)
    const numbers = messageRows(stage.gateway.dbFile).map(({ body }) => JSON.parse(body).n as number)
    assert.equal(
      numbers,
      Array.from({ length: 501 }, (_, n) => n),
    )
  }))

test('messages in flight to a gateway that stops keep their order', () =>
  onStage({}, async (stage) => {
    const { gateway } = stage
    const { agent, load } = loadOf(stage, 'ordered')
    try {
      load.start()
      // A delivery that crosses the cancellation of its consumer depends on timing, so several attempts are made.
      for (let round = 0; round < RESTARTS; round++) {
        await load.more(50)
        assert.is((await gateway.term()).code, 0)
        await gateway.restart()
        await gateway.ready()
      }
      await load.stop()
      await assertNothingLost(gateway.dbFile, [load], [])
    } finally {
      await agent.kill9()
    }
  }))

test.full('neither a client that never reads nor one with request after request delays a shutdown by SIGINT', () =>
  onStage({ env: PATIENT }, async (stage) => {
    const { gateway } = stage
    const big = 'x'.repeat(500_000)
    await stage.publish(
      Array.from({ length: 40 }, (_, n) => `{"event_id":"stalled","message_id":"${n}","big":"${big}"}`),
    )
    await stage.stored(40)
    const { hostname, port } = new URL(gateway.url)
    const stalled = net.connect({ host: hostname, port: Number(port) })
    stalled.on('error', () => {})
    stalled.pause()
    stalled.write('GET /api/events/stalled/stream HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(async () => /state="stalled"\} 1$/m.test((await getJson(`${gateway.url}/metrics`)).text), {
      what: 'a stalled reader in the metrics',
    })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const ask = (): Promise<void> =>
      new Promise((resolve, reject) => {
        http
          .get(`${gateway.url}/livez`, { agent }, (response) => response.resume().once('end', resolve))
          .once('error', reject)
      })
    const asking = Array.from({ length: 4 }, async () => {
      // Until the listening socket is closed and no keep-alive connection is left.
      for (let up = true; up; )
        up = await ask().then(
          () => true,
          () => false,
        )
    })
    assertDrained(await gateway.term('SIGINT'), gateway)
    await Promise.all(asking)
    agent.destroy()
    stalled.destroy()
  }),
)

test('while it drains, the gateway reports that it is not ready', () =>
  onStage({ env: PATIENT }, async (stage) => {
    const { gateway } = stage
    // A connection that was open before can still send requests while the listening socket is closed.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const ask = (): Promise<{ status: number; text: string }> =>
      new Promise((resolve, reject) => {
        http
          .get(`${gateway.url}/readyz`, { agent }, (response) => {
            let text = ''
            response.setEncoding('utf8').on('data', (chunk: string) => {
              text += chunk
            })
            response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
          })
          .once('error', reject)
      })
    assert.is((await ask()).status, 200)
    const lock = holdWriteLock(gateway.dbFile)
    await stage.publish(['{"event_id":"drain","message_id":"d"}'])
    await gateway.waitForLog(({ code }) => code === 'storage_busy')
    const ended = gateway.term()
    await gateway.waitForLog(({ msg }) => msg === 'stopping')
    const during = await ask().catch((error: Error) => ({ status: 0, text: error.message }))
    assert.is.not(during.status, 200)
    if (during.status === 503) assert.match(during.text, 'shutting_down')
    assert.ok(gateway.running, 'it was still draining')
    lock.release()
    assert.is((await ended).code, 0)
    agent.destroy()
    assert.is(messageRows(gateway.dbFile, 'drain').length, 1, 'what was in hand is committed while it drains')
  }))

test.full('a hanging store does not delay the shutdown, and messages that it did not store are redelivered', () =>
  onStage({ env: { SHUTDOWN_SECONDS: '3' } }, async (stage) => {
    const { gateway } = stage
    const stream = await stage.open('hung')
    const lock = holdWriteLock(gateway.dbFile)
    await stage.publish(['{"event_id":"hung","message_id":"h"}'])
    await gateway.waitForLog(({ code }) => code === 'storage_busy')
    const ended = await gateway.term()
    assert.equal([ended.code, ended.signal], [1, null])
    assert.ok(RUN_WORKERS > 1 || deadlinePassed(gateway), gateway.output())
    await stream.closed
    assert.is(stream.events.at(-1)?.event, 'closing')
    lock.release()
    assert.equal(messageRows(gateway.dbFile), [])
    await gateway.restart()
    await stage.stored(1)
  }),
)

test.full('a second signal ends the process immediately, even while the store hangs', () =>
  onStage({ env: { SHUTDOWN_SECONDS: '60' } }, async (stage) => {
    const { gateway } = stage
    const lock = holdWriteLock(gateway.dbFile)
    await stage.publish(['{"event_id":"twice","message_id":"t"}'])
    await gateway.waitForLog(({ code }) => code === 'storage_busy')
    const first = gateway.term('SIGTERM')
    await gateway.waitForLog(({ msg }) => msg === 'stopping')
    assert.ok(gateway.running)
    const second = await gateway.term('SIGTERM')
    assert.is(second.code, 1)
    assert.not.ok(deadlinePassed(gateway), 'its own deadline has ended it')
    await first
    lock.release()
    await gateway.restart()
    await stage.stored(1)
  }),
)

test.run()
