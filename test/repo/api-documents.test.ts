import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Parser } from '@asyncapi/parser'
import { Validator } from '@seriousme/openapi-schema-validator'
import * as assert from 'uvu/assert'
import { ERRORS } from '../../src/core/errors.ts'
import { validateMessage } from '../../src/core/message.ts'
import { createRouter, type RouteOptions } from '../../src/http/app.ts'
import { openSse, type ParsedEvent } from '../support/clients/sse.ts'
import { guarded } from '../support/clients/tokens.ts'
import { suite } from '../support/harness/suite.ts'
import { getJson, type Json, request } from '../support/harness/wait.ts'
import { buildTarget, type Call, findViolations, listCalls } from '../support/repo/api-documents.ts'
import { addRejected } from '../support/servers/database.ts'
import { type Gateway, ROOT, startGateway } from '../support/servers/gateway.ts'
import { chat, eventUrl, publish } from '../support/stages/rooms.ts'

const documents = suite('the API documents')

let gateway: Gateway
let openapi: Json
let asyncapi: Json

documents.before(async () => {
  // A heartbeat is one of the events.
  gateway = await startGateway({ env: { HEARTBEAT_SECONDS: '1' } })
  openapi = (await getJson(`${gateway.url}/openapi.json`)).body
  asyncapi = (await getJson(`${gateway.url}/asyncapi.json`)).body
})

documents.after(() => gateway?.dispose())

documents('describe every route of the router, and no other', () => {
  // Handlers are only registered, never called. HEAD is GET without a body.
  const { stack } = createRouter({} as RouteOptions)
  const served = stack.flatMap(({ methods, path }) =>
    methods.filter((method) => method !== 'HEAD').map((method) => `${method} ${String(path)}`),
  )
  assert.equal(
    listCalls(openapi)
      .map(({ route }) => route)
      .sort(),
    served.sort(),
    'A route is defined by defineRoute in src/http/routes/ and listed in ROUTES of src/http/app.ts.',
  )
})

documents('describe every parameter in a path', () => {
  for (const { route, path, operation } of listCalls(openapi)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const described = operation.parameters.filter(({ in: place }: Json) => place === 'path')
    assert.equal(
      described.map(({ name }: Json) => name),
      named,
      route,
    )
    for (const { required } of described) assert.is(required, true, route)
  }
})

documents('are valid OpenAPI 3.1 to its validator', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(structuredClone(openapi))
  assert.ok(valid, JSON.stringify(errors, null, 1))
  assert.is(validator.version, '3.1')
  validator.resolveRefs()
})

documents('are valid AsyncAPI 3.0 to its parser, without a warning', async () => {
  const { document, diagnostics } = await new Parser().parse(structuredClone(asyncapi))
  // 0 an error, 1 a warning; more is advice, as to take a newer version.
  const serious = diagnostics.filter(({ severity }) => severity < 2)
  assert.equal(serious, [])
  assert.ok(document !== undefined)
})

documents('name license and contact, and describe every call, operation and message', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  for (const { info } of [openapi, asyncapi]) {
    assert.equal([info.license.name, info.contact.name], [manifest.license, manifest.author])
    assert.match(info.license.url, /^https:/)
    assert.ok(info.description.length > 100)
  }
  const described = [
    ...openapi.tags.map((tag: Json) => [tag.name, tag]),
    ...asyncapi.info.tags.map((tag: Json) => [tag.name, tag]),
    ...listCalls(openapi).map(({ route, operation }) => [route, operation]),
    ...['servers', 'channels', 'operations'].flatMap((kind) => Object.entries<Json>(asyncapi[kind])),
    ...Object.entries<Json>(asyncapi.components.messages),
  ]
  for (const [name, { summary, description }] of described) {
    assert.match(description ?? '', /^[A-Z].*\.$/s, name)
    assert.is.not(description, summary, name)
  }
})

documents('name every error code, with status and hint', () => {
  assert.equal(Object.keys(openapi.components['x-errors']).sort(), Object.keys(ERRORS).sort())
  assert.equal(openapi.components.schemas.Error.properties.code.enum.sort(), Object.keys(ERRORS).sort())
  const said = new Set(listCalls(openapi).flatMap(({ operation }) => JSON.stringify(operation).match(/`(\w+)`/g) ?? []))
  // Codes that no response to a described call can have: of startup, commands, readiness, and invalid requests.
  const elsewhere =
    /^(amqp_|backup_|native_|database_|config_|certificate_|listen_|node_|gateway_unreachable|unexpected_response|broker_|not_found|method_not_allowed|shutting_down|too_many_(connections|open_files)|worker_|upstream_(refused|incompatible|copying)$)/
  for (const code of Object.keys(ERRORS)) assert.ok(said.has(`\`${code}\``) || elsewhere.test(code), code)
})

const exampleOf = (call: Call) => {
  const { target, headers } = buildTarget(call, ({ example, required, name }) => {
    assert.ok(!required || example !== undefined, `${call.route}: ${name} needs an example`)
    return example
  })
  const body = call.operation.requestBody?.content['application/json'].example
  return { target, headers, body: body === undefined ? undefined : JSON.stringify(body) }
}

const isStream = ({ operation }: Call): boolean => operation.responses[200]?.content['text/event-stream'] !== undefined

documents('give examples that the gateway answers as described', async () => {
  const own = await startGateway()
  // The quarantine must have a row that stays there when it is replayed.
  addRejected(own.dbFile, [{ body: 'x', reason: 'invalid_json' }])
  // Later calls read what earlier ones create, and the last ones delete it.
  const order = ['POST', 'GET', 'DELETE']
  const calls = listCalls(openapi).filter((one) => !isStream(one))
  for (const call of calls.sort((a, b) => order.indexOf(a.method) - order.indexOf(b.method))) {
    const { target, headers, body } = exampleOf(call)
    const answer = await request(call.method, own.url + target, body, { headers })
    const described = call.operation.responses[answer.status]
    assert.ok(answer.status < 300 && described, `${call.route}: ${answer.status} ${answer.text.slice(0, 300)}`)
    const [[type, { schema, example }]] = Object.entries<Json>(described.content) as [[string, Json]]
    assert.ok(
      String(answer.headers['content-type']).startsWith(type),
      `${call.route}: ${answer.headers['content-type']}`,
    )
    if (type !== 'application/json') continue
    assert.equal(findViolations(schema, answer.body, openapi), [], call.route)
    if (example === undefined) continue
    assert.equal(findViolations(schema, example, openapi), [], `${call.route}: its example`)
    assert.equal(shapeOf(answer.body), shapeOf(example), `${call.route}: the example looks like the answer`)
  }
  await own.dispose()
})

/** Returns the keys of a value, at any depth. */
const shapeOf = (value: Json, at = ''): string[] => {
  if (Array.isArray(value)) return value.slice(0, 1).flatMap((item) => shapeOf(item, `${at}[]`))
  if (typeof value !== 'object' || value === null) return [at]
  return Object.keys(value).flatMap((key) => shapeOf(value[key], `${at}.${key}`))
}

documents('give examples of bodies that their schemas accept', () => {
  for (const { route, operation } of listCalls(openapi)) {
    const body = operation.requestBody?.content['application/json']
    if (body !== undefined) assert.equal(findViolations(body.schema, body.example, openapi), [], route)
    for (const { name, schema, example } of operation.parameters) {
      if (example !== undefined) assert.equal(findViolations(schema, example, openapi), [], `${route}: ${name}`)
    }
  }
})

documents('describe every event of a stream, and no other', () => {
  const frames = readFileSync(join(ROOT, 'src/core/sse.ts'), 'utf8')
  const sent = [...frames.matchAll(/encodeEvent\('(\w+)'|event: (\w+)\\n/g)]
    .map(([, name, other]) => name ?? other!)
    .sort()
  const what = 'Add it to STREAM_EVENTS in src/http/api/schemas.ts, and its example to src/http/api/asyncapi.ts.'
  assert.equal(Object.keys(openapi.components['x-events']).sort(), sent, what)
  assert.equal(Object.keys(asyncapi.channels.stream.messages).sort(), sent, what)
})

documents('describe the events as they are sent', async () => {
  const url = eventUrl(gateway, 'described')
  await publish(gateway, 'described', [chat(1), chat(2, { source: 'x', extra: { deep: [1] } }), {}])
  const stream = await openSse(`${url}/stream`, { headers: { 'Last-Event-ID': '99999999' } })
  await stream.next('heartbeat')
  await gateway.term()
  await stream.closed
  const events = new Map<string, ParsedEvent>(stream.events.map((event) => [event.event, event]))
  assert.equal([...events.keys()].sort(), Object.keys(openapi.components['x-events']).sort())
  for (const { event, data, rawData } of stream.events) {
    const described = openapi.components['x-events'][event]
    assert.equal(findViolations(described.data, data, openapi), [], rawData)
    const message = asyncapi.components.messages[event]
    assert.equal(findViolations(message.payload, data, openapi), [], rawData)
    for (const { payload } of message.examples)
      assert.equal(findViolations(message.payload, payload, openapi), [], event)
  }
  const withId = stream
    .raw()
    .toString()
    .match(/^id: \d+\nevent: \w+/gm)!
    .map((lines) => lines.split('event: ')[1]!)
  const said = Object.entries<Json>(openapi.components['x-events']).filter(([, { id }]) => id)
  assert.equal([...new Set(withId)].sort(), said.map(([name]) => name).sort())
  await gateway.restart()
})

documents('give an example of AMQP that the check of messages accepts', () => {
  const { payload, examples } = asyncapi.components.messages.published
  assert.ok(examples.length > 0)
  for (const { payload: body } of examples) {
    assert.equal(findViolations(payload, body, openapi), [])
    const checked = validateMessage(JSON.stringify(body), { received_at: 0, makeId: () => 'id' })
    assert.ok('message' in checked, JSON.stringify(checked))
  }
  const { event_id, ...without } = examples[0].payload
  assert.ok(event_id)
  assert.equal(findViolations(payload, without, openapi).length, 1, 'over AMQP the body alone names the event')
})

documents('are public and hold no data; a cached copy gets 304', async () => {
  const own = await startGateway({ env: guarded() })
  for (const path of ['/openapi.json', '/asyncapi.json', '/docs']) {
    const first = await getJson(own.url + path)
    assert.is(first.status, 200, path)
    assert.is(first.text, (await getJson(gateway.url + path)).text, 'the same for every gateway of this version')
    const etag = String(first.headers.etag)
    assert.is(first.headers['cache-control'], 'no-cache')
    const again = await getJson(own.url + path, { headers: { 'If-None-Match': etag } })
    assert.equal([again.status, again.text, again.headers.etag], [304, '', etag], path)
    assert.is((await getJson(own.url + path, { headers: { 'If-None-Match': '"other"' } })).status, 200)
  }
  await own.dispose()
})

documents('are readable as a page: every call, event and code, no script, under a strict policy', async () => {
  const { text, headers } = await getJson(`${gateway.url}/docs`)
  for (const { route } of listCalls(openapi)) assert.ok(text.includes(`<code>${route}</code>`), route)
  for (const name of Object.keys(openapi.components['x-events'])) assert.ok(text.includes(`id="event-${name}"`), name)
  for (const code of Object.keys(ERRORS)) assert.ok(text.includes(`<span id="${code}">`), code)
  assert.not.match(text, /<script|\son\w+=|style="|javascript:|undefined|\[object/i)
  const policy = String(headers['content-security-policy'])
  assert.match(policy, /^default-src 'none'; style-src 'sha256-[\w+/]+=*'/)
  assert.not.match(policy, 'unsafe')
  const ids = [...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id!)
  assert.is(new Set(ids).size, ids.length, 'each id once')
  for (const [, id] of text.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.includes(id!), `#${id}`)
})

documents.run()
