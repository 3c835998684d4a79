// transports: http1; full: http1, http2
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { collectIds, openSse, Reader, type SseStream } from '../support/clients/sse.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { type Json, until } from '../support/harness/wait.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { chat, chats, eventUrl, metric, newRoom, publish } from '../support/stages/rooms.ts'

const MEGABYTE = 1024 * 1024

let gateway: Gateway
const open: SseStream[] = []
const readers: Reader[] = []

const stream = async (event_id: string, headers: Record<string, string> = {}): Promise<SseStream> => {
  const opened = await openSse(`${eventUrl(gateway, event_id)}/stream`, { headers })
  open.push(opened)
  return opened
}

const reader = (event_id: string): Reader => {
  const started = new Reader(`${eventUrl(gateway, event_id)}/stream`, { retryMs: 200 }).start()
  readers.push(started)
  return started
}

const big = (n: number, bytes = 600_000): Json => chat(n, { filler: '情'.repeat(bytes / 3) })

const publishBig = async (event_id: string, count: number): Promise<number[]> => {
  const ids: number[] = []
  for (let n = 0; n < count; n++) ids.push(...(await publish(gateway, event_id, big(n))))
  return ids
}

const rss = (): number => {
  const status = readFileSync(`/proc/${gateway.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

const anyStalled = async (): Promise<boolean> => (await metric(gateway, 'gateway_subscribers{state="stalled"}')) > 0

/** Publishes until the socket of a subscriber is full: the kernel buffers up to 37 MB for one that read fast before. */
const publishUntilStalled = async (event_id: string): Promise<number[]> => {
  const ids: number[] = []
  const full = async (): Promise<boolean> => {
    ids.push(...(await publishBig(event_id, 5)))
    return anyStalled()
  }
  await until(full, { what: 'a stalled reader' })
  return ids
}

const load = suite('streams under load')

load.before(async () => {
  // Indexing 120 MB would cost more than sending them.
  gateway = await startGateway({ env: { SEARCH: 'off' } })
})
load.after.each(async () => {
  for (const opened of open.splice(0)) opened.close()
  for (const started of readers.splice(0)) await started.stop()
})
load.after(() => gateway.dispose())

load.full('deliver 200 messages each to 300 subscribers of one event, in order', async () => {
  const room = newRoom()
  const seen: number[][] = []
  const streams = await Promise.all(
    chats(300, () => {
      const ids: number[] = []
      seen.push(ids)
      return openSse(`${eventUrl(gateway, room)}/stream`, {
        keep: false,
        onEvent: ({ event, data }) => event === 'new_message' && ids.push(data.db_id),
      })
    }),
  )
  open.push(...streams)
  const ids: number[] = []
  while (ids.length < 200) ids.push(...(await publish(gateway, room, ids.length % 3 ? chat(1) : [chat(1), chat(2)])))
  await until(() => seen.every((one) => one.length >= ids.length), { what: 'all messages' })
  for (const one of seen) assert.equal(one, ids)
})

load.full('lose nothing between history and live for a subscriber that connects during a burst', async () => {
  const room = newRoom()
  let flooding = true
  const ids: number[] = []
  const flood = (async () => {
    while (flooding) ids.push(...(await publish(gateway, room, chats(20))))
  })()
  const late: Reader[] = []
  for (let n = 0; n < 20; n++) {
    late.push(reader(room))
    await late[n]!.waitForCount(1)
  }
  flooding = false
  await flood
  for (const one of late) {
    await one.waitForCount(ids.length)
    assert.equal(one.ids, ids)
  }
})

load.full('consist of well-formed UTF-8 without CR and NUL, however large the messages', async () => {
  const room = newRoom()
  const body = (n: number): string =>
    `{\r\n "n": ${n},\r "nul": "\\u0000 \\r\\n",\n "text": "${'安🛡ü'.repeat(30_000)}"}`
  for (let n = 0; n < 8; n++) await publish(gateway, room, body(n))
  const opened = await stream(room)
  await opened.next('caught_up')
  for (let n = 8; n < 16; n++) await publish(gateway, room, body(n))
  await opened.waitFor((seen) => collectIds(seen).length === 16)
  const raw = opened.raw()
  assert.ok(raw.length > 4 * MEGABYTE)
  assert.ok(isUtf8(raw), 'the stream is no UTF-8')
  assert.is(raw.includes(13), false, 'a CR')
  assert.is(raw.includes(0), false, 'a NUL')
  const messages = opened.events.filter(({ event }) => event === 'new_message')
  assert.equal(
    messages.map(({ data }) => data.n),
    chats(16, (n) => n - 1),
  )
  assert.is(messages[15]?.data.text, '安🛡ü'.repeat(30_000))
  assert.is(opened.parseErrors.length, 0)
})

load.full('resume when a client pauses and reads again', async () => {
  const room = newRoom()
  const opened = await stream(room)
  await opened.next('caught_up')
  const ids: number[] = []
  for (let round = 0; round < runs(1, 3); round++) {
    opened.pause()
    ids.push(...(await publishUntilStalled(room)))
    ids.push(...(await publish(gateway, room, chats(50))))
    opened.resume()
    await opened.waitFor((seen) => collectIds(seen).length >= ids.length)
  }
  assert.equal(collectIds(opened), ids)
  assert.is(await metric(gateway, 'gateway_subscribers{state="stalled"}'), 0)
})

load('use no memory for a client that never reads, delay no others, and disconnect it after 30 s', async () => {
  const room = newRoom()
  const tooSlow = 'gateway_streams_closed_total{reason="too_slow"}'
  const good = reader(room)
  await good.waitForConnections(1)
  const ids: number[] = []
  /** Returns the peak memory of the process while 100 MB are published and read. */
  const peak = async (): Promise<number> => {
    let most = 0
    for (let n = 0; n < 10; n++) {
      ids.push(...(await publishBig(room, 10)))
      await good.waitForCount(ids.length)
      most = Math.max(most, rss())
    }
    return most
  }
  // The same work without that reader comes first: what publishing and reading cost is not its doing. A queue for it
  // would hold 100 MB more.
  const before = await peak()
  const from = performance.now()
  const still = await stream(room)
  await still.next('hello')
  still.pause()
  await until(anyStalled, { what: 'a stalled reader' })
  assert.is(await metric(gateway, tooSlow), 0)
  const most = await peak()
  assert.equal(good.ids, ids)
  assert.is(good.connections, 1)
  assert.ok(most - before < 60 * MEGABYTE, `${((most - before) / MEGABYTE).toFixed(1)} MB more`)

  await until(async () => (await metric(gateway, tooSlow)) === 1, { what: 'the end as too_slow' })
  const seconds = (performance.now() - from) / 1_000
  assert.ok(seconds >= 30, `closed after ${seconds} s`)
  still.resume()
  await still.closed
  const first = collectIds(still)
  assert.ok(first.length < ids.length, 'it was not stalled at all')
  const resumed = await stream(room, { 'last-event-id': still.lastEventId })
  await resumed.next('caught_up')
  assert.equal([...first, ...collectIds(resumed)], ids)
})

load.run()
