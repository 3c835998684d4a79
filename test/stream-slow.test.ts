// limit: 400s
import net from 'node:net'
import * as assert from 'uvu/assert'
import { type Gateway, startGateway } from './support/gateway.ts'
import { chat, metric, publish } from './support/rooms.ts'
import { suite } from './support/suite.ts'
import { until } from './support/wait.ts'

const MEGABYTE = 1024 * 1024

let gateway: Gateway

const slow = suite('a slow reader', { timeoutMs: 300_000 })

slow.before(async () => {
  gateway = await startGateway({ env: { MAX_MESSAGE_BYTES: String(32 * MEGABYTE) } })
})
slow.after(() => gateway.dispose())

slow('is left alone while it takes something, though one write of the gateway lasts beyond 30 s', async () => {
  await publish(gateway, 'room', chat(1, { filler: 'x'.repeat(28 * MEGABYTE) }))
  const { hostname, port } = new URL(gateway.url)
  const socket = net.connect(Number(port), hostname)
  let bytes = 0
  let end = ''
  let closed = false
  // At most 64 KB at a time, so that all of it takes more than 40 s.
  const timer = setInterval(() => socket.resume(), 100)
  try {
    socket.on('data', (chunk) => {
      bytes += chunk.length
      end = (end + chunk).slice(-200)
      socket.pause()
    })
    socket.once('error', () => {})
    socket.once('close', () => {
      closed = true
    })
    socket.write('GET /api/events/room/stream HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(async () => (await metric(gateway, 'gateway_readers_stalled')) === 1, { what: 'a full socket' })
    const from = performance.now()
    const written = async (): Promise<boolean> => (await metric(gateway, 'gateway_readers_stalled')) === 0
    await until(async () => closed || (await written()), { timeoutMs: 200_000, what: 'the write', everyMs: 200 })
    const seconds = (performance.now() - from) / 1_000
    assert.not(closed, `the reader was ended after ${bytes} bytes`)
    assert.ok(seconds > 31, `the write lasted ${seconds} s only: this shows nothing`)
    clearInterval(timer)
    const last = socket.on('data', () => socket.resume()).resume()
    await until(() => end.includes('event: caught_up') || last.destroyed, { timeoutMs: 60_000, what: 'caught_up' })
    assert.ok(bytes > 28 * MEGABYTE)
    assert.is(await metric(gateway, 'gateway_streams_closed_total{reason="too_slow"}'), 0)
  } finally {
    clearInterval(timer)
    socket.destroy()
  }
})

slow.run()
