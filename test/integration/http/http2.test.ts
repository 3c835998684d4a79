// needs: openssl
import http2, { type ClientHttp2Stream } from 'node:http2'
import tls from 'node:tls'
import * as assert from 'uvu/assert'
import { type Http2, type Opened, openHttp2 } from '../../support/clients/http2-client.ts'
import { Clock } from '../../support/harness/clock.ts'
import { peakMb, resetPeak, residentMb } from '../../support/harness/memory.ts'
import { suite } from '../../support/harness/suite.ts'
import { testAuthority } from '../../support/harness/transport.ts'
import { until } from '../../support/harness/wait.ts'
import type { Authority } from '../../support/servers/certificates.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { getSampleValue, parseMetrics } from '../../support/stages/rooms.ts'

const MEGABYTE = 1024 * 1024
const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = http2.constants

let authority: Authority
let gateway: Gateway
const sessions: Http2[] = []
const others: Gateway[] = []

const serve = (env: Env = {}): Promise<Gateway> => {
  const { certFile, keyFile } = authority.issue()
  return startGateway({ env: { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, ...env } })
}

const other = async (env: Env): Promise<Gateway> => {
  const started = await serve(env)
  others.push(started)
  return started
}

const connect = async (
  to: Pick<Gateway, 'url'> = gateway,
  options: http2.ClientSessionOptions = {},
): Promise<Http2> => {
  const opened = await openHttp2(to.url, authority.ca, options)
  sessions.push(opened)
  return opened
}

const room = (name: string): string => `/api/events/${name}/stream`

const openRoom = async (client: Http2, name: string): Promise<Opened> => {
  const opened = await client.open(room(name))
  assert.is(opened.status, 200)
  await opened.says('caught_up')
  return opened
}

const publish = async (client: Http2, name: string, text: string): Promise<void> => {
  const body = JSON.stringify({ message_content: text })
  const { status, stream } = await client.open(`/api/events/${name}/messages`, { ':method': 'POST' }, body)
  assert.is(status, 201)
  await until(() => stream.closed, { what: 'the end of the answer' })
}

const figure = async (client: Http2, name: string): Promise<number> => {
  const opened = await client.open('/metrics')
  await until(() => opened.closed, { what: 'the figures' })
  return getSampleValue(parseMetrics(opened.text()), name)
}

const readersAre = async (client: Http2, count: number): Promise<void> => {
  await until(async () => (await figure(client, 'gateway_subscribers')) === count, { what: `${count} readers` })
}

const over = suite('HTTP/2')

over.before(async () => {
  authority = testAuthority()
  gateway = await serve({ HEARTBEAT_SECONDS: '1' })
})
over.after.each(async () => {
  for (const opened of sessions.splice(0)) opened.close()
  for (const started of others.splice(0)) await started.dispose()
})
over.after(() => gateway.dispose())

over('carries many streams on one connection, each of its own event', async () => {
  const client = await connect()
  const streams = await Promise.all(Array.from({ length: 100 }, (_, n) => openRoom(client, `many-${n}`)))
  for (const n of [0, 50, 99]) await publish(client, `many-${n}`, `only for ${n}`)
  for (const n of [0, 50, 99]) await streams[n]!.says(`only for ${n}`)
  assert.is(streams.filter(({ text }) => text().includes('new_message')).length, 3)
  assert.is(streams[0]!.headers.connection, undefined)
  assert.is(streams[0]!.headers['transfer-encoding'], undefined)
})

over.full('allows 250 open streams per connection, and queues the next until one ends', async () => {
  const client = await connect()
  await until(() => client.session.remoteSettings.maxConcurrentStreams === 250, { what: 'the settings' })
  const streams = await Promise.all(Array.from({ length: 250 }, () => openRoom(client, 'full')))
  let came = false
  const late = openRoom(client, 'full').then(
    () => (came = true),
    () => (came = false),
  )
  const from = streams[1]!.text().length
  await until(() => streams[1]!.text().length > from, { what: 'a heartbeat' })
  assert.not(came)
  streams[0]!.stream.close(NGHTTP2_CANCEL)
  // A client that connects while a slot is being released may be rejected, and retries as an EventSource does.
  if (!(await late)) await openRoom(client, 'full')
})

over('removes the subscribers of reset streams and closed connections', async () => {
  const [client, watcher] = [await connect(), await connect()]
  const streams = await Promise.all(Array.from({ length: 20 }, (_, n) => openRoom(client, `leaving-${n % 3}`)))
  await readersAre(watcher, 20)
  for (const { stream } of streams.slice(0, 10)) stream.close(NGHTTP2_CANCEL)
  await readersAre(watcher, 10)
  client.session.destroy()
  await readersAre(watcher, 0)
  assert.is(await figure(watcher, 'gateway_channels'), 0)
})

over.full('keeps nothing of clients that disconnect while they are being admitted', async () => {
  const [client, watcher] = [await connect(), await connect()]
  for (let n = 0; n < 50; n++) await publish(watcher, 'hasty', `message ${n}`)
  for (let n = 0; n < 100; n++) {
    const stream = client.session.request({ ':path': room('hasty') })
    stream.on('error', () => {})
    if (n % 2 === 0) stream.close(NGHTTP2_CANCEL)
    else setImmediate(() => stream.close(NGHTTP2_CANCEL))
  }
  await figure(watcher, 'gateway_subscribers')
  await readersAre(watcher, 0)
  assert.not(client.session.destroyed)
})

over('refuses a body that is too large without reading it, and goes on with the connection', async () => {
  const client = await connect()
  const stream = client.session.request({ ':method': 'POST', ':path': '/api/events/room/messages' })
  let status = 0
  stream.on('response', (head) => {
    status = head[':status'] ?? 0
  })
  stream.on('error', () => {})
  stream.resume()
  const flood = (): void => {
    while (!stream.destroyed && stream.write(Buffer.alloc(64 * 1024, ' '))) {}
  }
  stream.on('drain', flood)
  flood()
  await until(() => stream.closed, { what: 'the end of the request' })
  assert.equal([status, stream.rstCode], [413, NGHTTP2_NO_ERROR])
  assert.is((await client.open('/livez')).status, 200)
})

over('sends a response without connection headers to a request that has one', async () => {
  const client = await connect()
  const { status, headers, stream } = await client.open('/api/nothing', { ':method': 'POST' }, 'x')
  await until(() => stream.closed, { what: 'the end' })
  assert.equal([status, headers.connection], [404, undefined])
  assert.not.match(gateway.output(), /Warning/)
})

over('ends every stream with closing and the connection with GOAWAY at a shutdown', async () => {
  // It must stop without reaching the deadline.
  const own = await other({ SHUTDOWN_SECONDS: '60' })
  const client = await connect(own)
  const streams = await Promise.all([openRoom(client, 'a'), openRoom(client, 'b')])
  const idle = await connect(own)
  await idle.open('/livez')
  assert.is((await own.term()).code, 0, own.output())
  for (const { text, stream } of streams) {
    assert.match(text(), /\n\nretry: \d+\nevent: closing\ndata: \{"reason":"shutdown"\}\n\n$/)
    assert.is(stream.rstCode, NGHTTP2_NO_ERROR)
  }
  for (const one of [client, idle]) {
    await until(() => one.session.destroyed, { what: 'the end of the connection' })
    assert.equal([one.goaway(), one.errors], [NGHTTP2_NO_ERROR, []])
  }
})

over('closes a connection without a request after HEADERS_TIMEOUT_SECONDS, whatever else it sends', async () => {
  const own = await other({ HEADERS_TIMEOUT_SECONDS: '1' })
  const [quiet, busy, honest] = [await connect(own), await connect(own), await connect(own)]
  const stream = await openRoom(honest, 'room')
  const pings = setInterval(() => !busy.session.destroyed && busy.session.ping(() => {}), 100)
  try {
    await until(() => quiet.session.destroyed && busy.session.destroyed, { what: 'the end of both' })
  } finally {
    clearInterval(pings)
  }
  await publish(honest, 'room', 'still here')
  await stream.says('still here')
})

over.full('responds 408 to a body that does not arrive within REQUEST_TIMEOUT_SECONDS', async () => {
  const origin = 'https://app.example'
  const own = await other({ HEADERS_TIMEOUT_SECONDS: '1', REQUEST_TIMEOUT_SECONDS: '1', CORS_ORIGINS: origin })
  const client = await connect(own)
  const stream = client.session.request({ ':method': 'POST', ':path': '/api/events/room/messages', origin })
  let allowed: unknown
  stream.on('response', (headers) => {
    allowed = headers['access-control-allow-origin']
  })
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  stream.on('error', () => {})
  const drip = setInterval(() => stream.writable && stream.write('{'), 200)
  try {
    await until(() => stream.closed, { what: 'the end of the request' })
  } finally {
    clearInterval(drip)
  }
  assert.equal([stream.sentHeaders !== undefined, JSON.parse(text).code], [true, 'request_timeout'])
  assert.is(allowed, origin)
  assert.is((await client.open('/livez')).status, 200)
})

/** Raw HTTP/2 frames: an attacker is not limited by a library. */
const frame = (type: number, flags: number, id: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, payload])
}

const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))])
/** :method GET, :scheme https, :path /, by the static table; :authority localhost. */
const REQUEST = Buffer.from([0x82, 0x87, 0x84, 0x41, 9, ...Buffer.from('localhost')])

const FLOODS: Record<string, (id: number) => Buffer> = {
  'streams that are reset at once': (id) =>
    Buffer.concat([frame(1, 5, id, REQUEST), frame(3, 0, id, Buffer.from([0, 0, 0, 8]))]),
  pings: () => frame(6, 0, 0, Buffer.alloc(8)),
  settings: () => frame(4, 0, 0, Buffer.alloc(0)),
  'heads without end': (id) =>
    id === 1
      ? frame(1, 1, 1, REQUEST)
      : frame(9, 0, 1, Buffer.concat([Buffer.from([0, 1, 97, 100]), Buffer.alloc(100, 98)])),
  'empty frames of data': (id) => (id === 1 ? frame(1, 4, 1, REQUEST) : frame(0, 0, 1, Buffer.alloc(0))),
  'frames that mean nothing': (id) => frame(8, 0, id, Buffer.alloc(4)),
}

/** Most of it is garbage of the requests that are answered meanwhile. */
const MAX_GROWTH_MB = 100

for (const [what, make] of Object.entries(FLOODS)) {
  over(`survives a flood of ${what} in bounded memory, while an honest reader misses nothing`, async () => {
    const client = await connect()
    const stream = await openRoom(client, 'flooded')
    const socket = tls.connect({
      host: '127.0.0.1',
      port: Number(new URL(gateway.url).port),
      ca: authority.ca,
      ALPNProtocols: ['h2'],
    })
    let ended = false
    socket.on('error', () => {})
    socket.once('close', () => {
      ended = true
    })
    socket.resume()
    socket.write(PREFACE)
    let sent = 0
    let id = 1
    const before = residentMb(gateway.pid)
    resetPeak(gateway.pid)
    try {
      while (!ended && sent < 200_000) {
        const frames: Buffer[] = []
        for (let n = 0; n < 500; n++, id += 2) frames.push(make(id))
        sent += 500
        if (!socket.write(Buffer.concat(frames))) {
          await new Promise<void>((resolve) => {
            socket.once('drain', resolve)
            socket.once('close', resolve)
          })
        } else await new Promise((resolve) => setImmediate(resolve))
        if (sent % 20_000 === 0) await publish(client, 'flooded', `after ${sent} of ${what}`)
      }
      await publish(client, 'flooded', `the end of ${what}`)
      await stream.says(`the end of ${what}`)
      const grown = Math.round(peakMb(gateway.pid) - before)
      process.stdout.write(`${what}: ${ended ? 'ended' : 'borne'} after ${sent} frames, ${grown} MB\n`)
      assert.ok(grown < MAX_GROWTH_MB, `${grown} MB`)
    } finally {
      socket.destroy()
    }
    await readersAre(client, 1)
  })
}

over('refuses a head that is too large without reading on', async () => {
  const client = await connect()
  const huge = { 'x-large': 'x'.repeat(64 * 1024) }
  const answer: Promise<number | string> = new Promise((resolve) => {
    const stream: ClientHttp2Stream = client.session.request({ ':path': '/livez', ...huge })
    stream.once('response', (head) => resolve(head[':status'] ?? 0))
    stream.once('error', (error) => resolve(error.message))
    stream.once('close', () => resolve(`closed with ${stream.rstCode}`))
  })
  assert.is.not(await answer, 200)
  assert.is((await (await connect()).open('/livez')).status, 200)
})

over(
  'ends a stream whose client takes nothing for 30 s, while its siblings on the connection miss nothing',
  async () => {
    const clock = new Clock().install()
    const { certFile, keyFile } = authority.issue()
    const own = await startLocalGateway({
      TLS_CERT_FILE: certFile,
      TLS_KEY_FILE: keyFile,
      MAX_MESSAGE_BYTES: String(8 * MEGABYTE),
    })
    try {
      // The window of a connection is shared by its streams: one that does not read must leave some of it to the others.
      const client = await connect(own)
      client.session.setLocalWindowSize(16 * MEGABYTE)
      const sibling = await openRoom(client, 'stalled')
      const [stalled, dead] = [await openRoom(client, 'stalled'), await openRoom(client, 'stalled')]
      for (const { stream } of [stalled, dead]) stream.pause()
      for (let n = 0; n < 5; n++) await publish(client, 'stalled', `${n}:${'x'.repeat(MEGABYTE)}:end-${n}`)
      await sibling.says('end-4')
      assert.not.ok(stalled.text().includes('end-1'))
      const closed = (): Promise<number> => figure(client, 'gateway_streams_closed_total{reason="too_slow"}')
      clock.advance(29_000)
      assert.is(await closed(), 0)
      clock.advance(3_000)
      assert.is(await closed(), 2)
      await readersAre(client, 1)
      // A client that reads again receives the reason; one that does not is disconnected and must not treat its data as complete.
      stalled.stream.resume()
      await stalled.says('event: closing\ndata: {"reason":"too_slow"}')
      await until(() => dead.stream.closed, { what: 'the end of the stream' })
      assert.equal([stalled.stream.rstCode, dead.stream.rstCode], [NGHTTP2_NO_ERROR, NGHTTP2_CANCEL])
      await publish(client, 'stalled', 'and on')
      await sibling.says('and on')
      client.close()
    } finally {
      clock.uninstall()
      await own.stop()
    }
  },
)

over.run()
