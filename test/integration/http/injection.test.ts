// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { createLogger } from '../../../src/telemetry/logger.ts'
import { openSse } from '../../support/clients/sse.ts'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, type Json, postJson, request, until } from '../../support/harness/wait.ts'
import { addRejected, rejectedRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { type SharedBroker, sharedBroker } from '../../support/servers/rabbitmq.ts'
import { eventUrl, isError } from '../../support/stages/rooms.ts'
import { openStage, type Stage } from '../../support/stages/stage.ts'

/** Texts with a special meaning to a terminal, a log, a stream, a page, a template or a database. */
const CORPUS: Record<string, string> = {
  lf: 'a\nevent: closing\ndata: {"reason":"shutdown"}\n\n',
  crlf: 'a\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n',
  cr: 'a\rid: 999999\r\r',
  nul: 'a\0b',
  ansi: '\u001b[2J\u001b[31mred\u001b]0;title\u0007',
  c1: '\u009b31mred\u0085next',
  'line separators': 'a\u2028event: hello\u2029b',
  bidi: '\u202Egnp.exe\u2066',
  html: '<img src=x onerror=alert(1)><script>alert(1)</script>',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it must stay text
  template: '{{7*7}} ${7*7} <%= 7*7 %> #{7*7}',
  sql: `'); DROP TABLE message; --`,
  json: '","db_id":999999,"x":"',
  path: '../../../../etc/passwd',
  prototype: '__proto__',
  inherited: 'constructor',
  percent: '%0d%0aX-Injected:%201 %00 %s %n',
  pino: '{"level":50,"msg":"forged"}\n{"level":50,"msg":"forged"}',
}

const isControl = (text: string): boolean => /\p{Cc}/u.test(text)

let gateway: Gateway

/** Asserts that no untrusted text started a line of the log or left a raw control character in it. */
const assertLogIsWhole = (output: string): void => {
  for (const line of output.split('\n')) {
    assert.not.match(line, /(?!\t)[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u, JSON.stringify(line))
    if (line.startsWith('{')) assert.not.match(JSON.parse(line).msg, /^forged/)
  }
}

const http = suite('hostile text over HTTP')

http.before(async () => {
  gateway = await startGateway({ env: guarded({ LOG_LEVEL: 'debug' }) })
  // Adds a row to the quarantine.
  addRejected(
    gateway.dbFile,
    Object.values(CORPUS).map((text) => ({
      body: text,
      reason: 'invalid_json',
      detail: text,
      exchange: text,
      routing_key: text,
    })),
  )
})
http.after(() => gateway?.dispose())

/** Responses that operators see, and the parameters of their requests. */
const operatorCalls = (encoded: string, headers: Record<string, string>): (() => Promise<HttpResult>)[] => [
  ...['reason', 'since', 'id', 'before'].map(
    (name) => () => getJson(`${gateway.url}/api/rejected?${name}=${encoded}`, { headers }),
  ),
  () => getJson(`${gateway.url}/api/rejected/${encoded}`, { headers }),
  () => request('POST', `${gateway.url}/api/rejected/${encoded}/replay`, '', { headers }),
  () => request('DELETE', `${gateway.url}/api/rejected/${encoded}`, '', { headers }),
  () => getJson(`${gateway.url}/api/health?samples_after=${encoded}`, { headers }),
]

for (const [name, text] of Object.entries(CORPUS)) {
  http(`${name}: in every field it is stored and streamed as it was, and means nothing`, async () => {
    const room = `room-${name}`
    const message = {
      message_id: `id-${text}`.slice(0, 255),
      message_from: text,
      message_type: text,
      message_content: { text, [text]: text },
      extra: [text],
    }
    const headers = bearer(await sign({ events: '*', scope: 'publish', sub: text }))
    const answer = await postJson(`${eventUrl(gateway, room)}/messages`, message, { headers })
    assert.is(answer.status, 201, answer.text)
    const { db_id } = answer.body.data
    const filter = new URLSearchParams({ message_type: text.includes(',') ? '' : text })
    const same = (delivered: Json) => {
      const { db_id: id, event_id, received_at, ...rest } = delivered
      assert.equal([id, event_id, typeof received_at], [db_id, room, 'string'])
      assert.equal(rest, { ...message, published_by: text })
    }
    const rest = await getJson(`${eventUrl(gateway, room)}/messages?${isControl(text) ? '' : filter}`, { headers })
    assert.is(rest.body.data.length, 1, rest.text)
    same(rest.body.data[0])
    const stream = await openSse(`${eventUrl(gateway, room)}/stream`, { headers })
    await stream.next('caught_up')
    assert.equal(
      stream.events.map(({ event, id }) => `${event} ${id}`),
      ['hello 0', `new_message ${db_id}`, 'caught_up undefined'],
    )
    same(stream.events[1]!.data)
    assert.equal(stream.parseErrors, [])
    stream.close()
  })

  http(`${name}: as an event id it is one event, or refused`, async () => {
    const headers = bearer(await sign({ events: '*', scope: 'publish admin' }))
    const post = await postJson(`${eventUrl(gateway, text)}/messages`, { message_content: 1 }, { headers })
    assert.is(post.status, isControl(text) ? 400 : 201, post.text)
    if (isControl(text)) isError(post, 400, 'invalid_event_id')
    else {
      const list = await getJson(`${gateway.url}/api/events?limit=1000`, { headers })
      assert.ok(list.body.data.some(({ event_id }: Json) => event_id === text))
      const own = bearer(await sign({ events: [text] }))
      assert.is((await getJson(`${eventUrl(gateway, text)}/messages`, { headers: own })).body.data.length, 1)
      assert.is((await getJson(`${gateway.url}/events/${encodeURIComponent(text)}`)).status, 200)
    }
  })

  http(`${name}: in keys, cookies, queries, paths and headers it changes no answer`, async () => {
    const encoded = encodeURIComponent(text)
    const token = await sign({ events: '*', scope: 'publish admin' })
    const headers = bearer(token)
    // Characters that headers cannot contain are removed.
    const inHeader = text.replace(/[^\x20-\x7e]/g, '?')
    const calls = [
      () => getJson(`${gateway.url}/api/events?limit=${encoded}`, { headers }),
      () => getJson(`${gateway.url}/api/events?${encoded}=${encoded}`, { headers }),
      () => getJson(`${gateway.url}/api/events/r/messages?last_message_db_id=${encoded}`, { headers }),
      () => getJson(`${gateway.url}/api/stream?event_id=${encoded}&last_message_db_id=${encoded}`, { headers }),
      () => getJson(`${gateway.url}/api/stream?event_id=r&ticket=${encoded}`),
      () => getJson(`${gateway.url}/${encoded}`),
      () => getJson(`${gateway.url}/api/events`, { headers: { authorization: `Bearer ${inHeader}` } }),
      () => getJson(`${gateway.url}/api/events`, { headers: { cookie: `access_token=${inHeader}` } }),
      () => getJson(`${gateway.url}/api/events`, { headers: { ...headers, origin: inHeader } }),
      () =>
        getJson(`${gateway.url}/livez`, {
          headers: { host: 'x', 'x-forwarded-for': inHeader, 'x-request-id': inHeader },
        }),
      () => request('DELETE', `${gateway.url}/api/revocations/${encoded}`, '', { headers }),
      () => postJson(`${gateway.url}/api/revocations`, { sub: text, until: text }, { headers }),
      () =>
        postJson(`${eventUrl(gateway, 'r')}/messages`, '{', { headers: { ...headers, 'idempotency-key': inHeader } }),
    ]
    for (const [index, call] of [...calls, ...operatorCalls(encoded, headers)].entries()) {
      const answer = await call()
      assert.ok(answer.status < 500, `${index}: ${answer.text}`)
      assert.is(answer.headers['x-injected'], undefined)
      assert.is(answer.headers['access-control-allow-origin'], undefined)
      assert.not.match(answer.text, /[^\P{Cc}\n\t]/u, `${index}: no raw control character in an answer`)
      if (answer.body === undefined) assert.match(String(answer.headers['content-type']), /^text\/html/)
    }
  })
}

http('quarantined messages are shown unchanged, in JSON that cannot be taken for another format', async () => {
  const headers = bearer(await sign({ scope: 'admin' }))
  const list = await getJson(`${gateway.url}/api/rejected?limit=200`, { headers })
  const texts = Object.values(CORPUS).reverse()
  for (const field of ['detail', 'exchange', 'routing_key']) {
    assert.equal(
      list.body.data.map((row: Json) => row[field]),
      texts,
    )
  }
  for (const text of texts) {
    const found = await getJson(`${gateway.url}/api/rejected?routing_key=${encodeURIComponent(text)}`, { headers })
    assert.equal(
      found.body.data.map(({ routing_key }: Json) => routing_key),
      [text],
    )
  }
  const id = list.body.data[0].rejected_id
  const row = await getJson(`${gateway.url}/api/rejected/${id}`, { headers })
  assert.is(row.body.data.body, texts[0])
  for (const answer of [list, row]) assert.match(String(answer.headers['content-type']), /^application\/json/)
})

http('it cannot forge a log line', () => {
  assert.ok(gateway.running)
  assertLogIsWhole(gateway.output())
})

const lines = suite('a log line')

/** Returns the output of a logger in a child process, since it writes to stdout. */
const linesOf = async (code: string): Promise<string> => {
  const { execFileSync } = await import('node:child_process')
  const { ROOT } = await import('../../support/servers/gateway.ts')
  const script = `import { createLogger } from '${ROOT}/src/telemetry/logger.ts'
const logger = await createLogger('info')
${code}`
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
}

lines('cannot be forged, neither by its message, nor by a field, nor by an error', async () => {
  assert.type(createLogger, 'function')
  const texts = JSON.stringify(Object.values(CORPUS))
  const output = await linesOf(`
for (const text of ${texts}) {
  logger.info(text)
  logger.warn({ path: text, nested: { [text]: [text] } }, text)
  logger.error({ err: new Error(text, { cause: new Error(text) }) }, 'failed')
  logger.error({ err: Object.assign(new Error(text), { code: text }) }, text)
}`)
  const all = output.trimEnd().split('\n')
  assert.is(all.length, Object.keys(CORPUS).length * 4)
  for (const line of all) {
    JSON.parse(line)
    assert.not.match(line, /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u, JSON.stringify(line))
    // Parsed values contain no terminal sequences either; stack frames are on separate lines.
    const { err, ...fields } = JSON.parse(line)
    const { stack, ...rest } = err ?? {}
    assert.not.match(JSON.stringify([fields, rest]), /(?<!\\)\\(u00[01]|[nrtbf])/, line)
    for (const frame of (stack ?? '').split('\n')) assert.match(frame, /^(\s+at .*)?$/)
  }
})

const amqp = suite('hostile text over AMQP')

let broker: SharedBroker
let stage: Stage

amqp.before(async () => {
  broker = await sharedBroker()
  stage = await openStage(broker.url, 'hostile')
})
amqp.after(async () => {
  await stage?.dispose()
  await broker?.dispose()
})

amqp('in routing keys, headers, properties and bodies is quarantined or stored as it was', async () => {
  const texts = Object.entries(CORPUS)
  for (const [name, text] of texts) {
    await stage.agent.publish({
      key: `notifications.frontend.${text}`,
      body: JSON.stringify({ event_id: 'amqp', message_id: name, message_from: text, message_content: text }),
      properties: { headers: { [text.slice(0, 100)]: text } },
    } as never)
    await stage.agent.publish({
      key: `notifications.frontend.${text}`,
      body: text,
      properties: { message_id: text, headers: { x: text } },
    } as never)
  }
  await stage.stored(texts.length)
  const rejected = await stage.rejected(texts.length - 0)
  assert.equal(rejected.map(({ body }) => body.toString()).sort(), texts.map(([, text]) => text).sort())
  assert.ok(rejected.some(({ routing_key }) => routing_key.endsWith(CORPUS.ansi!)))
  const { body } = await getJson(`${eventUrl(stage.gateway, 'amqp')}/messages`)
  assert.equal(
    body.data.map(({ message_from }: Json) => message_from),
    texts.map(([, text]) => text),
  )
  await until(() => stage.gateway.logs().some(({ msg }) => /quarantined/.test(msg ?? '')), { what: 'the line of it' })
  assertLogIsWhole(stage.gateway.output())
  assert.is(rejectedRows(stage.gateway.dbFile).length, texts.length)
})

http.run()
lines.run()
amqp.run()
