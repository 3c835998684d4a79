// full
// transports: http1, http2
import * as assert from 'uvu/assert'
import { Clock } from '../../support/harness/clock.ts'
import { suite } from '../../support/harness/suite.ts'
import { ask } from '../../support/harness/transport.ts'
import { until } from '../../support/harness/wait.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { chat, metric, publish } from '../../support/stages/rooms.ts'

const MEGABYTE = 1024 * 1024
/** Bytes read per second: more than the kernel requires to be free in a full buffer before it signals writability. */
const TAKEN_BYTES = 192 * 1024

const slow = suite('a slow reader')

slow('is not disconnected while it makes progress, though one write of the gateway lasts more than 30 s', async () => {
  const clock = new Clock().install()
  const gateway = await startLocalGateway({ MAX_MESSAGE_BYTES: String(32 * MEGABYTE) })
  try {
    await publish(gateway, 'room', chat(1, { filler: 'x'.repeat(28 * MEGABYTE) }))
    const reader = await ask(`${gateway.url}/api/events/room/stream`, { method: 'GET', headers: {} }).answer
    let bytes = 0
    let enough = 0
    let end = ''
    let closed = false
    reader.body.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      end = (end + chunk).slice(-200)
      if (bytes >= enough) reader.pause()
    })
    reader.body.once('error', () => {})
    reader.body.once('close', () => {
      closed = true
    })
    const stalled = (): Promise<number> => metric(gateway, 'gateway_subscribers{state="stalled"}')
    await until(async () => (await stalled()) === 1, { what: 'a full socket' })
    for (let seconds = 0; seconds < 40; seconds++) {
      enough = bytes + TAKEN_BYTES
      reader.resume()
      await until(() => bytes >= enough || closed, { what: 'what the reader takes', everyMs: 1 })
      clock.advance(1_000)
      assert.not(closed, `the reader was ended after ${bytes} bytes`)
    }
    assert.is(await stalled(), 1, 'the write lasts')
    enough = Number.POSITIVE_INFINITY
    reader.resume()
    await until(() => end.includes('event: caught_up') || closed, { what: 'caught_up' })
    assert.ok(bytes > 28 * MEGABYTE)
    assert.is(await metric(gateway, 'gateway_streams_closed_total{reason="too_slow"}'), 0)
    reader.destroy()
  } finally {
    clock.uninstall()
    await gateway.stop()
  }
})

slow.run()
