import net from 'node:net'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, until } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, metric, publish } from '../../support/stages/rooms.ts'

const door = suite('the fast path of streams')

let gateway: Gateway

door.before(async () => {
  gateway = await startGateway({ env: { WORKERS: '1', HEADERS_TIMEOUT_SECONDS: '1' } })
  await publish(gateway, 'room', chat(1))
})
door.after(async () => {
  await gateway?.dispose()
})

const STREAM = 'GET /api/events/room/stream HTTP/1.1\r\nHost: h\r\n\r\n'

type Line = { socket: net.Socket; text(): string; seen(pattern: RegExp): Promise<RegExpMatchArray>; closed(): boolean }

const connect = (): Line => {
  const { hostname, port } = new URL(gateway.url)
  const socket = net.connect({ host: hostname, port: Number(port) })
  let text = ''
  let closed = false
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  socket.on('error', () => {})
  socket.on('close', () => (closed = true))
  const seen = (pattern: RegExp) => until(() => text.match(pattern), { what: `${pattern} in ${text}` })
  return { socket, text: () => text, seen, closed: () => closed }
}

/** Returns the headers of a response by name, without those that differ each time. */
const fieldsOf = (text: string): string[] =>
  text
    .split('\r\n\r\n')[0]!
    .split('\r\n')
    .filter((line) => !/^(Date|X-Request-Id):/.test(line))
    .sort()

door('sends the same response as the HTTP server', async () => {
  const [direct, pieces] = [connect(), connect()]
  direct.socket.write(STREAM)
  // The fast path passes half a request to the HTTP server, which has it once other requests are answered.
  await new Promise((resolve) => pieces.socket.write(STREAM.slice(0, 30), resolve))
  for (let n = 0; n < 3; n++) assert.is((await getJson(`${gateway.url}/livez`)).status, 200)
  pieces.socket.write(STREAM.slice(30))
  await Promise.all([direct.seen(/caught_up/), pieces.seen(/caught_up/)])
  assert.equal(fieldsOf(direct.text()), fieldsOf(pieces.text()))
  const [ours, theirs] = [direct, pieces].map((line) => line.text().match(/^X-Request-Id: (\S+)/m)?.[1])
  assert.match(ours!, /^[0-9a-f-]{36}$/)
  assert.is.not(ours, theirs)
  const bodyOf = (line: Line) =>
    line
      .text()
      .split('\r\n\r\n')[1]!
      .replace(/"server_time":"[^"]*"/, '')
  assert.is(bodyOf(direct), bodyOf(pieces))
  await publish(gateway, 'room', chat(2))
  await Promise.all([direct.seen(/message 2/), pieces.seen(/message 2/)])
  for (const { socket } of [direct, pieces]) socket.destroy()
})

door('passes other requests to the HTTP server, with the data that follows on the connection', async () => {
  const line = connect()
  line.socket.write('GET /livez HTTP/1.1\r\nHost: h\r\n\r\nGET /livez HTTP/1.1\r\nHost: h\r\n\r\n')
  await until(() => line.text().match(/HTTP\/1\.1 200 OK/g)?.length === 2)
  line.socket.write(STREAM)
  await line.seen(/caught_up/)
  line.socket.destroy()
})

door('an error is sent and counted once, and the connection serves the next request', async () => {
  const before = await metric(gateway, 'gateway_subscribers')
  const line = connect()
  line.socket.write(STREAM.replace('stream', 'stream?tail=x'))
  // It arrives while the first one is processed.
  setImmediate(() => line.socket.write('GET /livez HTTP/1.1\r\nHost: h\r\n\r\n'))
  await line.seen(/invalid_query/)
  await until(() => line.text().match(/HTTP\/1\.1 200 OK/g)?.length === 1)
  assert.is(line.text().match(/invalid_query/g)?.length, 1)
  line.socket.write(STREAM)
  await line.seen(/caught_up/)
  assert.is(await metric(gateway, 'gateway_subscribers'), before + 1)
  line.socket.destroy()
  await until(async () => (await metric(gateway, 'gateway_subscribers')) === before, { what: 'nobody reads' })
})

door('a client that ends its side is disconnected, and further input is ignored', async () => {
  const [leaving, talking] = [connect(), connect()]
  leaving.socket.write(STREAM)
  talking.socket.write(STREAM)
  await Promise.all([leaving.seen(/caught_up/), talking.seen(/caught_up/)])
  leaving.socket.end()
  await until(leaving.closed, { what: 'the end' })
  talking.socket.write('x'.repeat(100_000))
  await publish(gateway, 'room', chat(3))
  await talking.seen(/message 3/)
  assert.not.match(talking.text(), /malformed/)
  talking.socket.destroy()
})

door('a silent connection gets an error after HEADERS_TIMEOUT_SECONDS and is closed', async () => {
  const line = connect()
  await until(line.closed, { what: 'the end' })
  assert.match(line.text(), /^HTTP\/1\.1 408 /)
  assert.match(line.text(), /"code":"request_timeout"/)
})

door('a silent connection and a reset one do not delay shutdown', async () => {
  const own = await startGateway({ env: { WORKERS: '1', HEADERS_TIMEOUT_SECONDS: '60', SHUTDOWN_SECONDS: '30' } })
  const { hostname, port } = new URL(own.url)
  const sockets = Array.from({ length: 5 }, () => net.connect({ host: hostname, port: Number(port) }))
  for (const socket of sockets) socket.on('error', () => {})
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
  sockets[0]!.resetAndDestroy()
  sockets[1]!.write(STREAM)
  sockets[1]!.resetAndDestroy()
  // The exit code is not 0 if the deadline ended it.
  assert.is((await own.term()).code, 0, own.output())
  await own.dispose()
})

door.run()
