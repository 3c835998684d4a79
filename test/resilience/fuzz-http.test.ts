import net from 'node:net'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { ERRORS } from '../../src/core/errors.ts'
import { ROUTES } from '../../src/http/app.ts'
import { guarded, sign } from '../support/clients/tokens.ts'
import { limit } from '../support/harness/limits.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { getJson, type Json } from '../support/harness/wait.ts'
import { buildTarget, type Call, listCalls } from '../support/repo/api-documents.ts'
import { type Gateway, startGateway, tellsOfFault } from '../support/servers/gateway.ts'

/** Total number of requests: 100,000 in the full form. */
const REQUESTS = runs(800, 100_000)
const AT_ONCE = 20
const ANSWER_MS = limit(30_000)

const fuzz = suite('any request at all')

const PATHS = [...new Set(ROUTES.map(({ path }) => path))]

/** A raw request. `halfClosed`: the client ends its side after it; `call`: the call in the API documents. */
type Shot = { bytes: Buffer; method: string; halfClosed: boolean; call?: Call }

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

/** Percent-encoded correctly, wrongly, or not at all. */
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

/** Headers about the length of the body. */
type Length = 'right' | 'more' | 'none' | 'bad' | 'chunked' | 'both'

const wire = (line: string, headers: readonly string[], payload: Buffer, length: Length): Omit<Shot, 'method'> => {
  const size = payload.length
  const framing = {
    right: [`content-length: ${size}`],
    more: [`content-length: ${size + 7}`],
    none: [],
    bad: ['content-length: -1'],
    chunked: ['transfer-encoding: chunked'],
    both: [`content-length: ${size}`, 'transfer-encoding: chunked'],
  }[length]
  const [before, after] = size === 0 ? ['', '0\r\n\r\n'] : [`${size.toString(16)}\r\n`, '\r\n0\r\n\r\n']
  const chunks = length === 'chunked' ? Buffer.concat([Buffer.from(before), payload, Buffer.from(after)]) : payload
  const head = [`${line} HTTP/1.1`, ...headers, ...framing, '', ''].join('\r\n')
  // Connections that do not end are closed by the client.
  return {
    bytes: Buffer.concat([Buffer.from(head, 'latin1'), chunks]),
    halfClosed: length !== 'right' && length !== 'chunked',
  }
}

/** Generates a value for a schema of the API documents, within its bounds or just outside. */
const fromSchema = (schema: Json): fc.Arbitrary<Json> => {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const some: Json[] | undefined = schema.anyOf ?? schema.oneOf
  if (some !== undefined) return fc.oneof(...some.map(fromSchema))
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'integer':
      return fc.oneof(fc.nat(50), fc.constantFrom(schema.minimum ?? 0, schema.maximum ?? 0, (schema.minimum ?? 0) - 1))
    case 'array':
      return fc.array(fromSchema(schema.items), { minLength: schema.minItems ?? 0, maxLength: 4 })
    case 'object': {
      const fields = Object.entries<Json>(schema.properties ?? {}).map(([name, field]) => [name, fromSchema(field)])
      return fc.record(Object.fromEntries(fields), { requiredKeys: schema.required ?? [] })
    }
    case 'string':
      return schema.format === 'date-time' ? fc.oneof(fc.date().map(String), fc.constant('2026-11-22T10:00:00Z')) : text
    default:
      return fc.jsonValue()
  }
}

/** Generates a parameter as described, nearly as described, or absent. */
const parameterOf = ({ schema, required, in: place, example }: Json): fc.Arbitrary<unknown> => {
  // An unencoded or empty value could result in another path.
  const wellFormed = (value: unknown): string => String(value ?? '').toWellFormed()
  const any = fc.oneof(fromSchema(schema), text, fc.constant(example ?? '1'))
  if (place === 'path') return any.map((value) => wellFormed(value) || '1')
  if (place === 'header') return any.map((value) => wellFormed(value).replace(/[^\x20-\x7e]/g, '?'))
  const given = any.map((value) => [value].flat().map(wellFormed))
  return required ? given : fc.option(given, { nil: undefined })
}

/** Generates a call with parameters and a body as the API documents describe them, or nearly so. */
const described = (call: Call) => {
  const { parameters, requestBody } = call.operation
  const schema = requestBody?.content['application/json'].schema
  const values = fc.tuple(...(parameters as Json[]).map(parameterOf))
  const sent =
    schema === undefined ? fc.constant(null) : fromSchema(schema).map((value) => Buffer.from(JSON.stringify(value)))
  return fc.record({ values, sent }).map((made) => ({
    ...buildTarget(call, (parameter) => made.values[parameters.indexOf(parameter)]),
    call,
    sent: made.sent,
  }))
}

const shotOf = (tokens: readonly string[], calls: readonly Call[]): fc.Arbitrary<Shot> => {
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
      length: fc.constantFrom<Length>('right', 'right', 'right', 'right', 'chunked', 'more', 'none', 'bad', 'both'),
      host: fc.oneof({ weight: 9, arbitrary: fc.constant('127.0.0.1') }, { weight: 1, arbitrary: headerText }),
    })
    .map(({ method, target: url, credential: shown, headers, body: payload, length, host }) => ({
      ...wire(`${method} ${url}`, [`host: ${host}`, shown, ...headers], payload, length),
      method,
    }))
  const known = fc
    .record({
      asked: fc.oneof(...calls.map(described)),
      credential,
      headers: fc.array(header, { maxLength: 2 }),
      body,
      length: fc.constantFrom<Length>('right', 'right', 'right', 'chunked', 'more'),
      head: fc.boolean(),
      astray: fc.nat(9),
    })
    .map(({ asked, credential: shown, headers, body: payload, length, head, astray }) => {
      const { call, target: url, headers: own, sent } = asked
      const method = call.method === 'GET' && head && astray === 0 ? 'HEAD' : call.method
      const lines = Object.entries(own).map(([name, value]) => `${name}: ${value}`)
      const bytes = sent !== null && astray > 1 ? sent : payload
      return {
        ...wire(`${method} ${url}`, ['host: localhost', shown, ...lines, ...headers], bytes, length),
        method,
        call,
      }
    })
  const noise = fc
    .oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: 'binary', minLength: 1 }).map((line) => Buffer.from(`GET ${line} HTTP/1.1\r\n\r\n`)),
    )
    .map((bytes) => ({ bytes, method: 'GET', halfClosed: true }))
  return fc.oneof({ weight: 6, arbitrary: shaped }, { weight: 6, arbitrary: known }, { weight: 1, arbitrary: noise })
}

/** Returns the headers and body received; a stream is closed after its headers. */
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
      // An interim response does not count.
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
  // A client that ended its side in the middle may get no response.
  if (answer === '' && shot.halfClosed) return
  const [, status = '0'] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? []
  assert.ok(Number(status) >= 200 && Number(status) < 500, `status ${status}: ${answer.slice(0, 600)}`)
  const said = shot.call?.operation.responses[status]
  // 304 and what it takes are HTTP's own.
  assert.ok(
    shot.call === undefined || said !== undefined || status === '304',
    `${shot.call?.route} does not tell of ${status}`,
  )
  if (Number(status) < 400 || shot.method === 'HEAD') return
  const [head = '', ...rest] = answer.split('\r\n\r\n')
  assert.match(head, /^content-type: application\/json/im)
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
  // The response to data that the client sent after its request may follow.
  const error = JSON.parse(Buffer.from(rest.join('\r\n\r\n')).subarray(0, length).toString())
  assert.ok(CODES.has(error.code) && error.hint.length > 0, answer)
  if (said !== undefined) assert.match(said.description, `\`${error.code}\``, `${shot.call?.route}: ${error.code}`)
}

const bombard = async (gateway: Gateway, tokens: readonly string[]): Promise<void> => {
  const port = Number(new URL(gateway.url).port)
  const calls = listCalls((await getJson(`${gateway.url}/openapi.json`)).body)
  const shots = fc.array(shotOf(tokens, calls), { minLength: AT_ONCE, maxLength: AT_ONCE })
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
    // fast-check never ends with a number that is not whole.
    { numRuns: Math.ceil(REQUESTS / 2 / AT_ONCE), endOnFailure: true },
  )
  assert.ok(!failed, `seed ${seed}: ${failures[0]}`)
  // The gateway is unaffected: no internal error was logged, and it responds.
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
