import net from 'node:net'
import * as assert from 'uvu/assert'
import { openSse, type SseStream } from '../../support/clients/sse.ts'
import { bearer, guarded, otherSpellings, sign } from '../../support/clients/tokens.ts'
import { WAIT_MS } from '../../support/harness/limits.ts'
import { untilListening } from '../../support/harness/listeners.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { getJson, type HttpResult, postJson, until } from '../../support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, chats, eventUrl, isError } from '../../support/stages/rooms.ts'

const limits = suite('limits')

let shared: Gateway

limits.before(async () => {
  shared = await startGateway({
    env: guarded({ MAX_STREAMS_PER_TOKEN: '2', PUBLISH_RATE: '1', PUBLISH_BURST: '50' }),
  })
})
limits.after(() => shared?.dispose())

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

/** Asserts that Retry-After is set and randomized. */
const isLater = (answer: HttpResult): void => assert.match(String(answer.headers['retry-after']), /^[1-9]\d*$/)

for (const WORKERS of ['1', String(runs(2, 3))]) {
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

limits('a token counts as one, however it is written', async () => {
  const token = await sign({ sub: 'writer', events: '*' })
  const open = (text: string) => openAll(shared, 1, { cookie: `access_token=${text}` })
  const first = [...(await open(token)), ...(await open(`"${token}"`))]
  assert.equal(counted(first), [2, 0])
  const refused = await getJson(`${eventUrl(shared, 'room')}/stream`, { headers: { cookie: `access_token=${token}` } })
  isError(refused, 429, 'too_many_streams')
  for (const spelling of otherSpellings(token)) {
    const headers = { cookie: `access_token=${spelling}` }
    isError(await getJson(`${eventUrl(shared, 'room')}/stream`, { headers }), 401, 'token_invalid')
    isError(await postJson(`${shared.url}/api/stream-tickets`, '', { headers }), 401, 'token_invalid')
  }
  closeAll(first)
})

limits('a stream that is refused or fails holds no slot', async () => {
  const headers = bearer(await sign({ events: ['room'] }))
  const get = (query: string) => getJson(`${eventUrl(shared, 'room')}/stream?${query}`, { headers })
  for (let n = 0; n < 5; n++) isError(await get('last_message_db_id=x'), 400, 'invalid_query')
  for (let n = 0; n < 5; n++) isError(await get('tail=999999'), 400, 'invalid_query')
  const streams = await openAll(shared, 2, headers)
  assert.equal(counted(streams), [2, 0])
  closeAll(streams)
})

limits(
  'a proxy that forwards without being trusted is reported once, since limits do not see its clients',
  async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1', ...bearer(await sign({ events: '*' })) }
    const warnings = () => shared.logs().filter(({ msg }) => msg?.startsWith('X-Forwarded-For is ignored'))
    assert.equal(warnings(), [])
    closeAll(await openAll(shared, 2, headers))
    await until(() => warnings().length > 0, { what: 'the warning' })
    assert.equal(
      warnings().map(({ level, address }) => [level, address]),
      [['warn', '127.0.0.1']],
    )
  },
)

limits('the slots of a worker that dies are released', () =>
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

limits('messages per second are limited per token, without affecting other tokens', async () => {
  const post = (token: string, messages: unknown): Promise<HttpResult> =>
    postJson(`${eventUrl(shared, 'room')}/messages`, messages, { headers: bearer(token) })
  const greedy = await sign({ events: '*', scope: 'publish' })
  const modest = await sign({ sub: 'another', scope: 'publish' })
  assert.is((await post(greedy, chats(50))).status, 201)
  const refused = await post(greedy, chats(30))
  isError(refused, 429, 'rate_limited')
  isLater(refused)
  assert.is((await post(modest, chat(1))).status, 201)
  await until(async () => (await post(greedy, chat(1))).status === 201, { what: 'the next message' })
  // A rejected body is charged too, otherwise rejections would be free.
  let status = 0
  for (let n = 0; n < 200 && status !== 429; n++) status = (await post(greedy, '{')).status
  assert.is(status, 429)
})

limits('a URL, a header and a number of headers above the limit are rejected with their own errors', async () => {
  const token = await sign({ events: '*' })
  const get = (path: string, headers = {}) => getJson(shared.url + path, { headers: { ...bearer(token), ...headers } })
  isError(await get(`/api/events?x=${'y'.repeat(8_200)}`), 414, 'url_too_long')
  isError(await get(`/api/events/${'y'.repeat(9_000)}/messages`), 414, 'url_too_long')
  isError(await get('/api/events', { x: 'y'.repeat(20_000) }), 431, 'headers_too_large')
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`x-${n}`, 'y']))
  isError(await get('/api/events', many), 431, 'headers_too_large')
  const events = Array.from({ length: 101 }, (_, n) => `event_id=${n}`).join('&')
  isError(await get(`/api/stream?${events}`), 400, 'too_many_events')
})

limits('one address cannot exceed its share of connections, and closed ones stop counting', () =>
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
      // The requests of this test may still hold one or two.
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

limits.run()
