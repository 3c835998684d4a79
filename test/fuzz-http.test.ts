// limit: 1800s
import net from 'node:net'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { makeRouter, type RouteOptions } from '../src/http/app.ts'
import { ERRORS } from '../src/message/errors.ts'
import { type Gateway, startGateway, tellsOfFault } from './support/gateway.ts'
import { suite } from './support/suite.ts'
import { guarded, sign } from './support/tokens.ts'
import { getJson } from './support/wait.ts'

/** Requests in all: 100,000 in the long form. */
const REQUESTS = process.env.TEST_LONG ? 100_000 : 3_000
const AT_ONCE = 20
const ANSWER_MS = 15_000

const fuzz = suite('any request at all', { timeoutMs: 1_500_000 })

const PATHS = [...new Set(makeRouter({} as RouteOptions).stack.map(({ path }) => String(path)))]

/** A request as it goes over the wire. `halfClosed`: the client ends its side behind it. */
type Shot = { bytes: Buffer; method: string; halfClosed: boolean }

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '*',
    '0',
    '-1',
    '9007199254740993',
    '1e9',
    'latest',
    '%',
    '%00',
    '%ff',
    '..',
    'null',
    '[]',
    '{}',
    ' ',
  ),
  fc.integer().map(String),
)

/** Percent-encoded as it should be, or not at all, or wrongly. */
const encoded = fc.tuple(text, fc.nat(9)).map(([value, how]) => {
  const safe = value.replace(/[^\x21-\x7e]/g, (char) => encodeURIComponent(char.isWellFormed() ? char : '?'))
  return how < 7 ? encodeURIComponent(value.toWellFormed()) : how < 9 ? safe : `${safe}%`
})

const target = fc
  .tuple(
    fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...PATHS) }, { weight: 1, arbitrary: fc.constant('/:x/:y') }),
    fc.array(encoded, { minLength: 3, maxLength: 3 }),
    fc.array(
      fc.tuple(
        fc.constantFrom(
          'event_id',
          'limit',
          'before',
          'last_message_db_id',
          'tail',
          'message_type',
          'message_from',
          'ticket',
          'token',
          'x',
        ),
        encoded,
      ),
      { maxLength: 4 },
    ),
  )
  .map(([path, values, query]) => {
    let at = 0
    const filled = path.replace(/:\w+/g, () => values[at++ % values.length]!)
    return query.length === 0 ? filled : `${filled}?${query.map(([name, value]) => `${name}=${value}`).join('&')}`
  })

const headerText = text.map((value) => value.replace(/[^\x20-\x7e\x80-\xff]/g, '?'))

const json = fc.oneof(
  fc.json(),
  fc
    .array(
      fc.record(
        { event_id: text, message_id: text, message_type: text, message_content: fc.jsonValue() },
        { requiredKeys: [] },
      ),
    )
    .map((list) => JSON.stringify(list)),
  fc.record({ sub: text, until: text, issued_before: text }, { requiredKeys: [] }).map((body) => JSON.stringify(body)),
  fc
    .record({ message_id: text, source: fc.jsonValue(), round_id: fc.double() }, { requiredKeys: [] })
    .map((body) => JSON.stringify(body)),
  fc.constantFrom('', '[]', '{', '[[[['.repeat(2_000), '{"a":'.repeat(2_000), 'NaN', '\ufeff{}', '"\ud800"'),
)

const body = fc.oneof(
  { weight: 5, arbitrary: json.map((value) => Buffer.from(value)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
)

const shotOf = (tokens: readonly string[]): fc.Arbitrary<Shot> => {
  const credential = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...tokens).map((token) => `authorization: Bearer ${token}`) },
    { weight: 1, arbitrary: fc.constantFrom(...tokens).map((token) => `cookie: access_token=${token}`) },
    { weight: 1, arbitrary: headerText.map((value) => `authorization: Bearer ${value}`) },
    { weight: 1, arbitrary: fc.constant('x: y') },
  )
  const header = fc.oneof(
    fc
      .tuple(
        fc.constantFrom(
          'last-event-id',
          'origin',
          'sec-fetch-site',
          'idempotency-key',
          'content-type',
          'accept',
          'x-forwarded-for',
          'x-forwarded-host',
          'cookie',
          'expect',
          'upgrade',
          'range',
          'if-none-match',
          'content-encoding',
          'te',
        ),
        headerText,
      )
      .map(([name, value]) => `${name}: ${value}`),
    fc.constantFrom('expect: 100-continue', 'connection: upgrade\r\nupgrade: websocket', 'connection: keep-alive, te'),
  )
  const shaped = fc
    .record({
      method: fc.constantFrom(
        'GET',
        'GET',
        'POST',
        'POST',
        'HEAD',
        'DELETE',
        'PUT',
        'OPTIONS',
        'PATCH',
        'TRACE',
        'SEARCH',
      ),
      target,
      credential,
      headers: fc.array(header, { maxLength: 4 }),
      body,
      length: fc.constantFrom('right', 'right', 'right', 'right', 'chunked', 'more', 'none', 'bad', 'both'),
      host: fc.oneof({ weight: 9, arbitrary: fc.constant('127.0.0.1') }, { weight: 1, arbitrary: headerText }),
    })
    .map(({ method, target: url, credential: shown, headers, body: payload, length, host }) => {
      const size = payload.length
      const framing = {
        right: [`content-length: ${size}`],
        more: [`content-length: ${size + 7}`],
        none: [],
        bad: ['content-length: -1'],
        chunked: ['transfer-encoding: chunked'],
        both: [`content-length: ${size}`, 'transfer-encoding: chunked'],
      }[length]!
      const chunks =
        length === 'chunked'
          ? Buffer.concat([
              Buffer.from(size === 0 ? '' : `${size.toString(16)}\r\n`),
              payload,
              Buffer.from(`${size === 0 ? '' : '\r\n'}0\r\n\r\n`),
            ])
          : payload
      const head = [`${method} ${url} HTTP/1.1`, `host: ${host}`, shown, ...headers, ...framing, '', ''].join('\r\n')
      // What does not end by itself is ended by the client.
      const halfClosed = length !== 'right' && length !== 'chunked'
      return { bytes: Buffer.concat([Buffer.from(head, 'latin1'), chunks]), method, halfClosed }
    })
  const noise = fc
    .oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: 'binary', minLength: 1 }).map((line) => Buffer.from(`GET ${line} HTTP/1.1\r\n\r\n`)),
    )
    .map((bytes) => ({ bytes, method: 'GET', halfClosed: true }))
  return fc.oneof({ weight: 12, arbitrary: shaped }, { weight: 1, arbitrary: noise })
}

/** The answer's head and body as far as they came; a stream is left after its head. */
const fire = ({ bytes, halfClosed, method }: Shot, port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let got = ''
    const late = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no answer in ${ANSWER_MS} ms, only ${JSON.stringify(got)}`))
    }, ANSWER_MS)
    const done = (): void => {
      clearTimeout(late)
      socket.destroy()
      resolve(got)
    }
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      got += chunk
      // An interim answer is none.
      if (got.startsWith('HTTP/1.1 100')) got = got.slice(got.indexOf('\r\n\r\n') + 4)
      const end = got.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = /^content-length: (\d+)/im.exec(got.slice(0, end))?.[1]
      const whole = length === undefined || method === 'HEAD' || Buffer.byteLength(got.slice(end + 4)) >= Number(length)
      if (whole) done()
    })
    socket.on('close', done)
    socket.on('error', done)
    if (halfClosed) socket.end(bytes)
    else socket.write(bytes)
  })

const CODES = new Set(Object.keys(ERRORS))

const check = (answer: string, shot: Shot): void => {
  // A client that ended its side in the middle may be left without a word.
  if (answer === '' && shot.halfClosed) return
  const [, status = '0'] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? []
  assert.ok(Number(status) >= 200 && Number(status) < 500, `status ${status}: ${answer.slice(0, 600)}`)
  if (Number(status) < 400 || shot.method === 'HEAD') return
  const [head = '', ...rest] = answer.split('\r\n\r\n')
  assert.match(head, /^content-type: application\/json/im)
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
  // Behind it may stand the answer to what the client wrote behind its request.
  const said = JSON.parse(Buffer.from(rest.join('\r\n\r\n')).subarray(0, length).toString())
  assert.ok(CODES.has(said.code) && said.hint.length > 0, answer)
}

const bombard = async (gateway: Gateway, tokens: readonly string[]): Promise<void> => {
  const port = Number(new URL(gateway.url).port)
  const shots = fc.array(shotOf(tokens), { minLength: AT_ONCE, maxLength: AT_ONCE })
  const failures: string[] = []
  const { failed, seed } = await fc.check(
    fc.asyncProperty(shots, async (volley) => {
      await Promise.all(
        volley.map(async (shot) => {
          try {
            check(await fire(shot, port), shot)
          } catch (error) {
            failures.push(
              `${(error as Error).message}\nfor ${JSON.stringify(shot.bytes.toString('latin1')).slice(0, 2_000)}`,
            )
          }
        }),
      )
      return failures.length === 0
    }),
    { numRuns: REQUESTS / 2 / AT_ONCE, endOnFailure: true },
  )
  assert.ok(!failed, `seed ${seed}: ${failures[0]}`)
  // It is as well as before: nothing was logged as its own fault, and it answers.
  assert.ok(gateway.running)
  assert.equal(
    gateway.logs().filter(({ level }) => tellsOfFault(level)),
    [],
  )
  assert.is((await getJson(`${gateway.url}/readyz`)).status, 200)
}

fuzz(`gets an answer that is no fault of the gateway, with tokens: ${REQUESTS / 2}`, async () => {
  const gateway = await startGateway({ env: guarded({ PUBLISH_RATE: '0' }) })
  const tokens = await Promise.all([
    sign({ events: '*', scope: 'publish admin' }),
    sign({ events: ['a', '0'], scope: 'publish' }),
    sign({ events: [] }),
    sign({ exp: 1 }),
  ])
  await bombard(gateway, tokens).finally(() => gateway.dispose())
})

fuzz(`gets an answer that is no fault of the gateway, without tokens: ${REQUESTS / 2}`, async () => {
  const gateway = await startGateway()
  await bombard(gateway, ['none']).finally(() => gateway.dispose())
})

fuzz.run()
