// needs: rabbitmq, pika
import { statSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { QUARANTINE_REASONS } from '../../../src/core/error-catalogue/groups.ts'
import { openSse } from '../../support/clients/sse.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, postJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startProxy } from '../../support/servers/proxy.ts'
import { type SharedBroker, sharedBroker, withChannel } from '../../support/servers/rabbitmq.ts'
import { chat, chats, eventUrl, getSampleValue, metric, parseMetrics, publish } from '../../support/stages/rooms.ts'
import { brokerEnv, KEY, openStage, type Stage } from '../../support/stages/stage.ts'

const samplesOf = async ({ url }: Pick<Gateway, 'url'>): Promise<Map<string, number>> =>
  parseMetrics((await getJson(`${url}/metrics`)).text)

const figures = suite('metrics')

let broker: SharedBroker
let stage: Stage
let gateway: Gateway
/** Of two workers, which have counted nothing before its first test. */
let pair: Gateway

figures.before(async () => {
  broker = await sharedBroker()
  stage = await openStage(broker.url, 'metrics', { env: { HEARTBEAT_SECONDS: '1' } })
  gateway = await startGateway()
  pair = await startGateway({ env: { WORKERS: '2' } })
  await until(async () => (await metric(pair, 'gateway_workers')) === 2, { what: 'both workers' })
})

figures.after(async () => {
  await pair?.dispose()
  await gateway?.dispose()
  await stage?.dispose()
  await broker?.dispose()
})

figures('count what is sent to subscribers: messages, bytes, pages of history', async () => {
  const room = 'counted'
  await publish(gateway, room, chats(1_200))
  const before = await samplesOf(gateway)
  const rise = async (name: string): Promise<number> =>
    getSampleValue(await samplesOf(gateway), name) - getSampleValue(before, name)
  let bytes = 0
  for (let readers = 1; readers <= 2; readers++) {
    const stream = await openSse(`${eventUrl(gateway, room)}/stream`)
    await stream.next('caught_up')
    assert.is(await rise('gateway_sse_messages_sent_total'), 1_200 * readers)
    bytes += stream.raw().length
    stream.close()
  }
  const given = await rise('gateway_sse_bytes_sent_total')
  // The response headers are sent with the first bytes.
  assert.ok(given >= bytes && given < bytes + 4_096, `${given} for ${bytes} bytes of bodies`)
  const pages = await rise('gateway_history_pages_sent_total')
  const reads = await rise('gateway_history_cache_misses_total')
  assert.ok(reads >= 3 && pages >= 2 * reads, `the second reader is given the ${reads} pages of the first: ${pages}`)
  await until(async () => (await metric(gateway, 'gateway_subscribers')) === 0, { what: 'no readers' })
})

figures('have every series with a known label at 0, in each worker, before anything is counted', async () => {
  const samples = await samplesOf(pair)
  const valuesOf = (counter: string, label: string, values: readonly string[]) =>
    values.map((value) => samples.get(`${counter}{${label}="${value}"}`))
  const known = [
    ['gateway_messages_quarantined_total', 'reason', QUARANTINE_REASONS],
    ['gateway_component_failures_total', 'code', ['storage_unavailable', 'broker_unreachable', 'worker_unresponsive']],
    ['gateway_http_requests_denied_total', 'code', ['token_missing', 'scope_missing', 'rate_limited', 'overloaded']],
    [
      'gateway_streams_closed_total',
      'reason',
      ['shutdown', 'token_expired', 'max_age', 'too_slow', 'database_corrupt', 'database_unreachable'],
    ],
    ['gateway_cursor_resets_total', 'reason', ['cursor_ahead', 'cursor_invalid', 'history_pruned']],
  ] as const
  for (const [counter, label, values] of known) {
    assert.equal(
      valuesOf(counter, label, values),
      values.map(() => 0),
      counter,
    )
  }
  assert.is(samples.get('gateway_http_requests_total{route="/api/events",method="GET",status="503"}'), 0)
})

figures.full('distinguish live subscribers from stalled ones', async () => {
  const room = 'states'
  await publish(gateway, room, chats(3))
  const live = await openSse(`${eventUrl(gateway, room)}/stream`)
  await live.next('caught_up')
  const full = await openSse(`${eventUrl(gateway, 'full')}/stream`)
  await full.next('caught_up')
  full.pause()
  const long = { message_content: 'x'.repeat(500_000) }
  await until(
    async () => {
      await publish(gateway, 'full', [long, long])
      return (await metric(gateway, 'gateway_subscribers{state="stalled"}')) === 1
    },
    { what: 'a full socket' },
  )
  assert.is(await metric(gateway, 'gateway_subscribers{state="live"}'), 1)
  assert.is(await metric(gateway, 'gateway_channels'), 2)
  full.resume()
  await until(async () => (await metric(gateway, 'gateway_subscribers{state="live"}')) === 2, { what: 'both live' })
  live.close()
  full.close()
})

figures.full('count invalid cursors, on streams and over REST', async () => {
  const count = (reason: string): Promise<number> => metric(gateway, `gateway_cursor_resets_total{reason="${reason}"}`)
  assert.is(await count('cursor_ahead'), 0)
  await getJson(`${eventUrl(gateway, 'resets')}/messages?last_message_db_id=99999999`)
  const stream = await openSse(`${eventUrl(gateway, 'resets')}/stream`, { headers: { 'Last-Event-ID': 'junk' } })
  await stream.next('reset')
  stream.close()
  assert.equal([await count('cursor_ahead'), await count('cursor_invalid'), await count('history_pruned')], [1, 1, 0])
})

figures('report database sizes, event loop delay and version', async () => {
  const samples = await samplesOf(gateway)
  // There was no commit since, so the file is unchanged.
  assert.is(samples.get('gateway_database_bytes'), statSync(gateway.dbFile).size)
  assert.is(samples.get('gateway_wal_bytes'), statSync(`${gateway.dbFile}-wal`).size)
  assert.ok(samples.get('gateway_database_disk_free_bytes')! > 0)
  assert.ok(samples.get('process_resident_memory_bytes')! > 10_000_000)
  assert.is(samples.get('gateway_ready'), 1)
  assert.is(getSampleValue(samples, 'gateway_build_info'), 1)
  assert.is(samples.has('gateway_queue_messages_ready'), false, 'embedded, there is no queue')
  const looks = 'nodejs_eventloop_lag_seconds_count'
  // Each scrape resets the samples of the delay, so two scrapes must not follow immediately.
  await until(async () => (await metric(gateway, looks)) > samples.get(looks)!, { what: 'one more look', everyMs: 500 })
})

figures('measure the lag from the stamp of the broker, else of the publisher, else from the arrival', async () => {
  const count = (reference: string): Promise<number> =>
    metric(stage.gateway, `gateway_ingest_lag_seconds_count{reference="${reference}"}`)
  const sum = (reference: string): Promise<number> =>
    metric(stage.gateway, `gateway_ingest_lag_seconds_sum{reference="${reference}"}`)
  const ago = (seconds: number): number => Math.floor(Date.now() / 1_000) - seconds
  const send = async (n: number, envelope: object): Promise<void> => {
    await withChannel(broker.url, (channel) =>
      channel.basicPublish(
        { exchange: stage.names.exchange, routingKey: KEY, ...envelope },
        `{"event_id":"lag","n":${n}}`,
      ),
    )
    await stage.stored(n)
    // The row is visible before the commit is reported.
    const told = async () => (await count('arrival')) + (await count('publisher')) + (await count('broker'))
    await until(async () => (await told()) === n, { what: `the lag of ${n} commits` })
  }
  // The timestamps are far enough apart to identify the one used, however long a commit takes.
  const [day, year] = [86_400, 31_536_000]
  // Otherwise the library sets a timestamp.
  await send(1, { timestamp: undefined })
  assert.equal([await count('arrival'), await count('publisher'), await count('broker')], [1, 0, 0])
  assert.is(Math.floor((await sum('arrival')) / day), 0)
  await send(2, { timestamp: ago(day) })
  assert.is(await count('publisher'), 1)
  assert.is(Math.floor((await sum('publisher')) / day), 1)
  await send(3, { timestamp: ago(day), headers: { timestamp_in_ms: ago(year) * 1_000 } })
  assert.is(await count('broker'), 1)
  assert.is(Math.floor((await sum('broker')) / year), 1)
  // A clock that is ahead, and a number that is not a plausible time.
  await send(4, { timestamp: ago(-day) })
  await send(5, { timestamp: 12 })
  assert.is(Math.floor((await sum('publisher')) / day), 1)
  assert.equal([await count('publisher'), await count('arrival')], [2, 2])
})

figures('report queue, consumers and faults, and no queue metrics while the broker is unreachable', async () => {
  const line = new URL(broker.url)
  const proxy = await startProxy(Number(line.port))
  line.port = String(proxy.port)
  const own = await startGateway({ env: brokerEnv(line.href, stage.names) })
  await own.ready()
  await until(async () => (await metric(own, 'gateway_queue_consumers')) > 0, { what: 'the figures of the queue' })
  const fault = 'gateway_component_faults{component="consumer",code="broker_unreachable"}'
  const well = await samplesOf(own)
  assert.equal([well.get('gateway_queue_messages_ready'), well.get('gateway_dead_letter_messages_ready')], [0, 0])
  assert.equal([well.get('gateway_ready'), well.get(fault)], [1, undefined])
  await proxy.close()
  await until(async () => (await metric(own, fault)) === 1, { what: 'the fault of the consumer' })
  const samples = await samplesOf(own)
  assert.is(samples.get('gateway_ready'), 0)
  assert.is(samples.has('gateway_queue_messages_ready'), false, 'what is not known is not shown')
  assert.ok(samples.get('gateway_component_failures_total{code="broker_unreachable"}')! >= 1)
  await own.dispose()
})

figures('of several workers are merged, and shared values are not added up', async () => {
  await publish(pair, 'shared', chats(10))
  const samples = await samplesOf(pair)
  assert.is(samples.get('gateway_messages_stored_total'), 10)
  assert.is(getSampleValue(samples, 'gateway_build_info'), 1)
  assert.is(samples.get('gateway_ready'), 1)
  assert.is(samples.get('gateway_database_bytes'), statSync(pair.dbFile).size)
  const started = samples.get('process_start_time_seconds')!
  // Processes count whole seconds.
  assert.ok(started <= Date.now() / 1_000 && started >= Math.floor(performance.timeOrigin / 1_000), `${started}`)
})

figures('count what was quarantined, and what the store refused over HTTP, and nothing else', async () => {
  const name = 'gateway_messages_quarantined_total'
  const embedded = async () =>
    Object.fromEntries([...(await samplesOf(gateway))].filter(([key, value]) => key.startsWith(name) && value > 0))
  await publish(gateway, 'refused', chat(1, { message_id: 'm' }))
  await publish(gateway, 'refused', chat(1, { message_id: 'm' }))
  await postJson(`${eventUrl(gateway, 'refused')}/messages`, { round_id: 'x' })
  assert.equal(await embedded(), {}, 'neither a duplicate nor an invalid request')
  const conflict = await postJson(`${eventUrl(gateway, 'refused')}/messages`, chat(2, { message_id: 'm' }))
  assert.equal([conflict.status, await embedded()], [409, { [`${name}{reason="message_conflict"}`]: 1 }])
  const own = (reason: string) => metric(stage.gateway, `${name}{reason="${reason}"}`)
  const before = await own('invalid_json')
  await withChannel(broker.url, async (channel) => {
    for (const body of ['x', 'y', '{"event_id":"counted"}']) {
      await channel.basicPublish({ exchange: stage.names.exchange, routingKey: KEY }, body)
    }
  })
  await until(async () => (await own('invalid_json')) === before + 2, { what: 'two quarantined messages' })
  const { body } = await getJson(`${stage.gateway.url}/api/rejected?reason=invalid_json`)
  assert.is(body.data.length, before + 2)
})

figures.run()
