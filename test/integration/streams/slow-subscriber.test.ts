// full
// transports: http1, http2
import * as assert from 'uvu/assert'
import { limit } from '../../support/harness/limits.ts'
import { suite } from '../../support/harness/suite.ts'
import { ask } from '../../support/harness/transport.ts'
import { until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, metric, publish } from '../../support/stages/rooms.ts'

const MEGABYTE = 1024 * 1024

let gateway: Gateway

const slow = suite('a slow reader')

slow.before(async () => {
  gateway = await startGateway({ env: { MAX_MESSAGE_BYTES: String(32 * MEGABYTE) } })
})
slow.after(() => gateway.dispose())

slow('is left alone while it takes something, though one write of the gateway lasts beyond 30 s', async () => {
  await publish(gateway, 'room', chat(1, { filler: 'x'.repeat(28 * MEGABYTE) }))
  const reader = await ask(`${gateway.url}/api/events/room/stream`, { method: 'GET', headers: {} }).answer
  let bytes = 0
  let end = ''
  let closed = false
  let trickling = true
  let taken = 0
  // At most 64 KB at a time, so that all of it takes more than 40 s.
  const timer = setInterval(() => reader.resume(), 100)
  try {
    reader.body.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      taken += chunk.length
      end = (end + chunk).slice(-200)
      if (!trickling || taken < 65_536) return
      taken = 0
      reader.pause()
    })
    reader.body.once('error', () => {})
    reader.body.once('close', () => {
      closed = true
    })
    await until(async () => (await metric(gateway, 'gateway_readers{state="stalled"}')) === 1, {
      what: 'a full socket',
    })
    const from = performance.now()
    const written = async (): Promise<boolean> => (await metric(gateway, 'gateway_readers{state="stalled"}')) === 0
    await until(async () => closed || (await written()), { timeoutMs: limit(200_000), what: 'the write', everyMs: 200 })
    const seconds = (performance.now() - from) / 1_000
    assert.not(closed, `the reader was ended after ${bytes} bytes`)
    assert.ok(seconds > 31, `the write lasted ${seconds} s only: this shows nothing`)
    clearInterval(timer)
    trickling = false
    reader.resume()
    await until(() => end.includes('event: caught_up') || closed, { what: 'caught_up' })
    assert.ok(bytes > 28 * MEGABYTE)
    assert.is(await metric(gateway, 'gateway_streams_closed_total{reason="too_slow"}'), 0)
  } finally {
    clearInterval(timer)
    reader.destroy()
  }
})

slow.run()
