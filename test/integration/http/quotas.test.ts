import { EventEmitter } from 'node:events'
import net from 'node:net'
import * as assert from 'uvu/assert'
import { createLocalCoordinator } from '../../../src/cluster/coordinator.ts'
import { parseAddressList } from '../../../src/config/parsers.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { Quotas } from '../../../src/http/quotas.ts'
import { TrustedProxies } from '../../../src/http/trusted-proxies.ts'
import { openSse, type SseStream } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { untilListening } from '../../support/harness/listeners.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, postJson, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, chats, eventUrl, isError } from '../../support/stages/rooms.ts'

const limits = suite('limits')

const withGateway = async (env: Env, work: (gateway: Gateway) => Promise<void>): Promise<void> => {
  const gateway = await startGateway({ env })
  try {
    await work(gateway)
  } finally {
    await gateway.dispose()
  }
}

const openAll = (gateway: Gateway, count: number, headers: Record<string, string>): Promise<SseStream[]> =>
  Promise.all(Array.from({ length: count }, () => openSse(`${eventUrl(gateway, 'room')}/stream`, { headers })))

const counted = (streams: SseStream[]): [open: number, refused: number] => {
  const open = streams.filter(({ status }) => status === 200).length
  return [open, streams.length - open]
}

const closeAll = (streams: SseStream[]): void => {
  for (const stream of streams) stream.close()
}

/** A refusal tells when to come back, and not everybody the same. */
const isLater = (answer: HttpResult): void => assert.match(String(answer.headers['retry-after']), /^[1-9]\d*$/)

for (const WORKERS of ['1', '3']) {
  limits(`streams of one token, of one address and in all: ${WORKERS} worker(s)`, () =>
    withGateway(
      guarded({
        WORKERS,
        MAX_STREAMS: '12',
        MAX_STREAMS_PER_TOKEN: '5',
        MAX_STREAMS_PER_ADDRESS: '7',
        TRUSTED_PROXIES: '127.0.0.1',
      }),
      async (gateway) => {
        await untilListening(gateway, Number(WORKERS))
        const from = (address: string, token: string) => ({ 'x-forwarded-for': address, ...bearer(token) })
        const [one, two, three, four] = (await Promise.all(
          ['1', '2', '3', '4'].map((sub) => sign({ sub, events: '*' })),
        )) as [string, string, string, string]
        const first = await openAll(gateway, 8, from('192.0.2.1', one))
        assert.equal(counted(first), [5, 3], 'per token')
        const refused = await getJson(`${eventUrl(gateway, 'room')}/stream`, { headers: from('192.0.2.9', one) })
        isError(refused, 429, 'too_many_streams')
        assert.match(refused.body.message, 'MAX_STREAMS_PER_TOKEN')
        isLater(refused)
        const second = await openAll(gateway, 5, from('192.0.2.1', two))
        assert.equal(counted(second), [2, 3], 'per address')
        const third = await openAll(gateway, 5, from('192.0.2.3', three))
        assert.equal(counted(third), [5, 0])
        const all = await getJson(`${eventUrl(gateway, 'room')}/stream`, { headers: from('192.0.2.4', four) })
        isError(all, 503, 'overloaded')
        isLater(all)
        closeAll(first)
        await until(
          async () => {
            const again = await openAll(gateway, 5, from('192.0.2.1', one))
            closeAll(again)
            return counted(again)[0] === 5
          },
          { what: 'the places of those who left' },
        )
        closeAll([...second, ...third])
      },
    ),
  )
}

limits('a stream that is refused or fails holds no place', () =>
  withGateway(guarded({ MAX_STREAMS_PER_TOKEN: '2' }), async (gateway) => {
    const headers = bearer(await sign({ events: ['room'] }))
    const get = (query: string) => getJson(`${eventUrl(gateway, 'room')}/stream?${query}`, { headers })
    for (let n = 0; n < 5; n++) isError(await get('last_message_db_id=x'), 400, 'invalid_query')
    for (let n = 0; n < 5; n++) isError(await get('tail=999999'), 400, 'invalid_query')
    const streams = await openAll(gateway, 2, headers)
    assert.equal(counted(streams), [2, 0])
    closeAll(streams)
  }),
)

limits('the places of a worker that dies are free again', () =>
  withGateway(guarded({ WORKERS: '2', MAX_STREAMS: '10' }), async (gateway) => {
    const { readFileSync } = await import('node:fs')
    const children = (): number[] =>
      readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8')
        .trim()
        .split(' ')
        .filter(Boolean)
        .map(Number)
    const headers = bearer(await sign({ events: '*' }))
    await untilListening(gateway, 2)
    const streams = await openAll(gateway, 12, headers)
    assert.equal(counted(streams), [10, 2])
    for (const pid of children()) process.kill(pid, 'SIGKILL')
    await until(
      async () => {
        const again = await openAll(gateway, 10, headers)
        closeAll(again)
        return counted(again)[0] === 10
      },
      { what: 'their places', everyMs: 200 },
    )
  }),
)

limits('messages a second, per token; those of others go on', () =>
  withGateway(guarded({ PUBLISH_RATE: '10', PUBLISH_BURST: '50' }), async (gateway) => {
    const post = async (sub: string, messages: unknown) =>
      postJson(`${eventUrl(gateway, 'room')}/messages`, messages, {
        headers: bearer(await sign({ sub, scope: 'publish', iat: 1 })),
      })
    const exp = Math.floor(Date.now() / 1_000) + 600
    const token = await sign({ events: '*', scope: 'publish', exp })
    const same = (messages: unknown) =>
      postJson(`${eventUrl(gateway, 'room')}/messages`, messages, { headers: bearer(token) })
    assert.is((await same(chats(50))).status, 201)
    const refused = await same(chats(30))
    isError(refused, 429, 'too_many_messages')
    assert.ok(Number(refused.headers['retry-after']) >= 1)
    assert.is((await post('another', chat(1))).status, 201)
    await until(async () => (await same(chat(1))).status === 201, { what: 'the next message' })
    // A body that is refused has its price too, or refusals would be free.
    let status = 0
    for (let n = 0; n < 200 && status !== 429; n++) status = (await same('{')).status
    assert.is(status, 429)
  }),
)

limits('a URL, a header and a count of headers beyond measure are refused as such', () =>
  withGateway({}, async (gateway) => {
    const get = (path: string, headers = {}) => getJson(gateway.url + path, { headers })
    isError(await get(`/api/events?x=${'y'.repeat(8_200)}`), 414, 'url_too_long')
    isError(await get(`/api/events/${'y'.repeat(9_000)}/messages`), 414, 'url_too_long')
    isError(await get('/api/events', { x: 'y'.repeat(20_000) }), 431, 'headers_too_large')
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`x-${n}`, 'y']))
    isError(await get('/api/events', many), 431, 'headers_too_large')
    const events = Array.from({ length: 101 }, (_, n) => `event_id=${n}`).join('&')
    isError(await get(`/api/stream?${events}`), 400, 'too_many_events')
  }),
)

limits('one address holds no more connections than its share, and no listing counts them for ever', () =>
  withGateway({ HOST: '0.0.0.0', AUTH: 'none', MAX_CONNECTIONS_PER_ADDRESS: '20' }, async (gateway) => {
    const port = Number(new URL(gateway.url).port)
    const { networkInterfaces } = await import('node:os')
    const host = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === 'IPv4' && !one.internal)?.address
    if (host === undefined) return
    const connect = () =>
      new Promise<{ socket: net.Socket; open: () => boolean }>((resolve, reject) => {
        const socket = net.connect(port, host)
        let open = true
        socket.on('close', () => {
          open = false
        })
        socket.on('error', () => undefined)
        socket.once('connect', () => resolve({ socket, open: () => open }))
        setTimeout(reject, WAIT_MS, new Error('no connection')).unref()
      })
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(Array.from({ length: 40 }, connect))
      await until(() => all.filter(({ open }) => open()).length <= 20, { what: 'the refusals' })
      // The looks of this test itself may still hold one or two.
      const held = all.filter(({ open }) => open()).length
      assert.ok(held >= 15, `round ${round}: ${held}`)
      assert.is((await getJson(`http://127.0.0.1:${port}/livez`)).status, 200, 'this machine itself is not counted')
      for (const { socket } of all) socket.destroy()
      await until(async () => (await fetch(`http://${host}:${port}/livez`).catch(() => null))?.status === 200, {
        what: 'a new connection',
      })
    }
  }),
)

const gate = suite('bodies under way')

gate('are bounded in all and for each caller, and free again when their answers are out', () => {
  const MEGABYTE = 1024 * 1024
  const none = { streams: 0, streamsPerToken: 0, streamsPerAddress: 0, publishRate: 0, publishBurst: 1 }
  const rest = { connections: 0, connectionsPerAddress: 0, headersMs: 1, requestMs: 1 }
  const one = new Quotas({ ...none, ...rest }, createLocalCoordinator(), new TrustedProxies(parseAddressList('')!))
  const request = (who: string, address = '192.0.2.1') => {
    const res = new EventEmitter()
    const req = { socket: { remoteAddress: address }, headers: {} }
    const principal = who === '' ? null : { tokenId: who }
    return { res, hold: one.trackBodyBytes({ req, res } as never, { principal } as never) }
  }
  const isFull = (hold: (bytes: number) => void, megabytes: number): void =>
    assert.throws(
      () => hold(megabytes * MEGABYTE),
      (error: GatewayError) => error.code === 'overloaded' && error.status === 503,
    )
  const [greedy, again] = [request('greedy'), request('greedy')]
  for (let n = 0; n < 60; n++) greedy.hold(MEGABYTE)
  isFull(again.hold, 5)
  const modest = request('modest')
  modest.hold(60 * MEGABYTE)
  // Without tokens the address counts; this machine itself is everybody.
  const far = request('')
  far.hold(60 * MEGABYTE)
  isFull(request('').hold, 5)
  const near = request('', '127.0.0.1')
  for (let n = 0; n < 7; n++) near.hold(10 * MEGABYTE)
  isFull(request('late').hold, 10)
  for (const { res } of [greedy, again, modest, far, near]) res.emit('close')
  // A page that is read for who has left.
  for (let n = 0; n < 60; n++) greedy.hold(MEGABYTE)
  request('a large one').hold(256 * MEGABYTE)
})

const proxies = suite('who calls')

const clientOf = (trusted: string, remoteAddress: string, forwarded?: string) =>
  new TrustedProxies(parseAddressList(trusted)!).clientAddress({
    socket: { remoteAddress },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  } as never)

proxies('is the peer, whatever it says of itself', () => {
  assert.is(clientOf('', '192.0.2.1', '198.51.100.1'), '192.0.2.1')
  assert.is(clientOf('10.0.0.0/8', '192.0.2.1', '198.51.100.1'), '192.0.2.1')
  assert.is(clientOf('', '::ffff:192.0.2.1'), '192.0.2.1')
  assert.is(clientOf('', '127.0.0.1', '198.51.100.1'), null)
})

proxies('is who a trusted proxy names, and no further than it can know', () => {
  const trusted = '10.0.0.0/8, 127.0.0.1, 2001:db8:1::/48'
  assert.is(clientOf(trusted, '10.1.1.1', '198.51.100.1'), '198.51.100.1')
  assert.is(clientOf(trusted, '127.0.0.1', '198.51.100.1'), '198.51.100.1')
  assert.is(clientOf(trusted, '::ffff:10.1.1.1', ' 203.0.113.9 , 198.51.100.1 , 10.9.9.9'), '198.51.100.1')
  assert.is(clientOf(trusted, '2001:db8:1::7', '198.51.100.1'), '198.51.100.1')
  for (const bad of ['', 'unknown', '198.51.100.1:80', '198.51.100.300', '<script>', 'a, b']) {
    assert.is(clientOf(trusted, '10.1.1.1', bad), '10.1.1.1', bad)
  }
})

proxies('has one name for all addresses of an IPv6 network', () => {
  const names = ['2001:db8::1', '2001:db8:0:0:1:2:3:4', '2001:0db8:0000::ffff'].map((address) => clientOf('', address))
  assert.equal([...new Set(names)], ['2001:db8:0:0::/64'])
  assert.is.not(clientOf('', '2001:db8:0:1::1'), names[0])
  assert.is(clientOf('', '::1'), null)
  assert.is(clientOf('', 'fe80::1%eth0'), 'fe80:0:0:0::/64')
})

limits.run()
gate.run()
proxies.run()
