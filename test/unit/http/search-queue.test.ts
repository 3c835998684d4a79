import { EventEmitter } from 'node:events'
import * as assert from 'uvu/assert'
import { createLocalCoordinator } from '../../../src/cluster/coordinator.ts'
import { parseAddressList } from '../../../src/config/parsers.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { type AuthOptions, createAuthorizer } from '../../../src/http/auth/authorize.ts'
import { Quotas } from '../../../src/http/quotas.ts'
import { SEARCH } from '../../../src/http/routes/search.ts'
import { SearchQueue } from '../../../src/http/search-queue.ts'
import { TrustedProxies } from '../../../src/http/trusted-proxies.ts'
import type { MessageSearch, SearchPage, SearchQuery } from '../../../src/store/search/search.ts'
import { SECRET, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'

const PAGE: SearchPage = { hits: [], nextBefore: null, indexed: 1 }

/** Lets everything happen that waits for nothing else. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

/** A search whose answers the test gives. */
const heldSearch = (maxConcurrent: number, page = PAGE) => {
  const running: { readonly text: string; readonly finish: () => void }[] = []
  const search: MessageSearch = {
    start: () => undefined,
    stop: async () => undefined,
    status: null,
    maxConcurrent,
    search: ({ terms }) =>
      new Promise((resolve) => running.push({ text: terms.join(' '), finish: () => resolve(page) })),
  }
  const texts = (): string => running.map(({ text }) => text).join(' ')
  /** Answers the search that has run longest, and waits until the next one runs. */
  const finishOne = async (): Promise<void> => {
    running.shift()!.finish()
    await settle()
  }
  return { search, running, texts, finishOne }
}

const query = (text: string): SearchQuery => ({
  terms: [text],
  filter: createFilter('*'),
  since: null,
  until: null,
  before: null,
  limit: 1,
})

/** Starts a search; `is` becomes its outcome. */
const ask = (queue: SearchQueue, owner: string | null, text: string, signal = new AbortController().signal) => {
  const asked = { is: 'waiting' }
  queue.search(query(text), { owner, signal }).then(
    () => (asked.is = 'answered'),
    (error: GatewayError) => (asked.is = error.code),
  )
  return asked
}

const outcomes = (asked: readonly { readonly is: string }[]): string[] => asked.map(({ is }) => is)

const queues = suite('the queue of searches')

queues('runs a few at a time, of each caller in turn', async () => {
  const { search, running, texts, finishOne } = heldSearch(2)
  const queue = new SearchQueue(search)
  const asked = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1'].map((text) => ask(queue, text[0]!, text))
  const seen: string[] = []
  for (; running.length > 0; await finishOne()) seen.push(texts())
  assert.equal(seen, ['a1 a2', 'a2 a3', 'a3 b1', 'b1 c1', 'c1 a4', 'a4 b2', 'b2'])
  assert.equal(outcomes(asked), Array(7).fill('answered'))
})

queues('refuses the fifth waiting search of a caller, and more than 128 of all', async () => {
  const { search, running, finishOne } = heldSearch(1)
  const queue = new SearchQueue(search)
  const greedy = Array.from({ length: 6 }, (_, n) => ask(queue, 'greedy', `g${n}`))
  const others = Array.from({ length: 31 }, (_, n) => [0, 1, 2, 3].map(() => ask(queue, `other ${n}`, 'o'))).flat()
  const late = ask(queue, 'late', 'late')
  await settle()
  assert.equal(outcomes([...greedy, late]), [...Array(5).fill('waiting'), 'overloaded', 'overloaded'])
  while (running.length > 0) await finishOne()
  assert.equal(outcomes([...greedy.slice(0, 5), ...others]), Array(129).fill('answered'))
  // Loopback can be a proxy that carries all clients.
  const unknown = Array.from({ length: 12 }, () => ask(queue, null, 'u'))
  while (running.length > 0) await finishOne()
  assert.equal(outcomes(unknown), Array(12).fill('answered'))
})

queues('drops a search whose client disconnects while it waits', async () => {
  const { search, running, texts, finishOne } = heldSearch(1)
  const queue = new SearchQueue(search)
  const client = new AbortController()
  const first = ask(queue, 'a', 'first')
  const gone = Array.from({ length: 4 }, () => ask(queue, 'a', 'gone', client.signal))
  const kept = ask(queue, 'b', 'kept')
  client.abort()
  const again = Array.from({ length: 4 }, () => ask(queue, 'a', 'again'))
  const late = ask(queue, 'c', 'was gone before', client.signal)
  await settle()
  assert.equal(outcomes([...gone, late]), Array(5).fill('request_aborted'))
  await finishOne()
  assert.is(texts(), 'kept')
  while (running.length > 0) await finishOne()
  assert.equal(outcomes([first, kept, ...again]), Array(6).fill('answered'))
})

queues('a search that failed makes room for the next one', async () => {
  let calls = 0
  const failing: MessageSearch = {
    ...heldSearch(1).search,
    search: () => Promise.reject(Object.assign(new Error(), { code: `failed ${++calls}` })),
  }
  const queue = new SearchQueue(failing)
  const asked = [ask(queue, 'a', 'x'), ask(queue, 'a', 'y')]
  await settle()
  assert.equal(outcomes(asked), ['failed 1', 'failed 2'])
})

const route = suite('GET /api/search')

const LIMITS = { streams: 0, streamsPerToken: 0, streamsPerAddress: 0, publishRate: 0, publishBurst: 1 }
const TIMES = { connections: 0, connectionsPerAddress: 0, headersMs: 1, requestMs: 1, keepAliveMs: 1 }

/** The route with a search whose answers the test gives. */
const guardedRoute = (maxConcurrent: number, page = PAGE) => {
  const held = heldSearch(maxConcurrent, page)
  const revoked = new Set<string>()
  const { authorise } = createAuthorizer({
    tokens: {
      keys: { kind: 'secret', secret: Buffer.from(SECRET) },
      issuer: null,
      audience: null,
      cookie: 'access_token',
      defaultEvents: null,
      defaultScope: null,
    },
    revocations: { isRevoked: ({ subject }: { subject: string }) => revoked.has(subject) },
    basePath: '',
    checkOrigin: () => undefined,
    checkOwnOrigin: () => undefined,
    onJwksStatus: () => undefined,
  } as unknown as AuthOptions)
  const quotas = new Quotas(
    { ...LIMITS, ...TIMES },
    createLocalCoordinator(),
    new TrustedProxies(parseAddressList('')!),
  )
  const handle = SEARCH.bind({ search: held.search, quotas, authorise })
  const request = (token: string) => {
    const res = new EventEmitter()
    const ctx = {
      method: 'GET',
      querystring: 'q=needle',
      get: (name: string) => (name === 'authorization' ? `Bearer ${token}` : ''),
      params: {},
      req: { headers: {}, socket: { remoteAddress: '127.0.0.1', destroyed: false } },
      res,
      body: '',
    }
    const asked = { is: 'waiting', res }
    handle(ctx as never).then(
      () => (asked.is = ctx.body),
      (error: GatewayError) => (asked.is = error.code),
    )
    return asked
  }
  return { ...held, revoked, request }
}

route('a search is not answered once its token is revoked or has expired', async () => {
  const { running, finishOne, revoked, request } = guardedRoute(3)
  const clock = Date.now
  const exp = Math.floor(clock() / 1_000) + 60
  const tokens = [await sign({}), await sign({ sub: 'revoked' }), await sign({ sub: 'expires', exp })]
  const asked = tokens.map(request)
  try {
    await until(() => running.length === 3, { what: 'the searches' })
    revoked.add('revoked')
    Date.now = () => exp * 1_000
    while (running.length > 0) await finishOne()
    assert.equal(outcomes(asked.slice(1)), ['token_revoked', 'token_expired'])
    assert.match(asked[0]!.is, '"status":"success"')
  } finally {
    Date.now = clock
  }
})

route('the searches of a token count together, and end with their connections', async () => {
  const { running, finishOne, request } = guardedRoute(1)
  const token = await sign({})
  const asked = Array.from({ length: 6 }, () => request(token))
  await until(() => asked.some(({ is }) => is === 'overloaded'), { what: 'a refusal' })
  for (const { res } of asked) res.emit('close')
  await settle()
  assert.is(asked.filter(({ is }) => is === 'request_aborted').length, 4, outcomes(asked).join())
  while (running.length > 0) await finishOne()
})

route('the backlog of the index, which counts all events, is only told to callers that can read all', async () => {
  for (const [indexed, events, expected] of [
    [0.123, '*', 0.123],
    [0.123, ['a'], 0.5],
    [1, ['a'], 1],
  ] as const) {
    const { running, finishOne, request } = guardedRoute(1, { ...PAGE, indexed })
    const asked = request(await sign({ events }))
    await until(() => running.length > 0, { what: 'the search' })
    await finishOne()
    assert.is(JSON.parse(asked.is).indexed, expected, `${indexed} of ${events}`)
  }
})

queues.run()
route.run()
