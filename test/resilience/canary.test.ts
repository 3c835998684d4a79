import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { callCli, runCli } from '../support/clients/cli.ts'
import { openSse } from '../support/clients/sse.ts'
import { bearer, forge, guarded, KeySetServer, makePair, sign } from '../support/clients/tokens.ts'
import { suite } from '../support/harness/suite.ts'
import { getJson, type HttpResult, postJson, request, tempDir, until } from '../support/harness/wait.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { startOtlp } from '../support/servers/otlp.ts'
import { chat, eventUrl } from '../support/stages/rooms.ts'

/** Returns a unique text that no escaping changes. */
const canary = (name: string): string => `canary${name}${randomBytes(24).toString('hex')}`

const test = suite('secrets')

/** All output of a gateway: responses, stdout, stderr, and arguments and title of its processes. */
class Emitted {
  readonly #texts: [where: string, text: string][] = []

  add(where: string, text: string): void {
    this.#texts.push([where, text])
  }

  answer({ headers, text }: HttpResult, where: string): void {
    this.add(where, `${JSON.stringify(headers)}\n${text}`)
  }

  process(gateway: Gateway): void {
    this.add('output', gateway.output())
    const children = readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim().split(' ')
    for (const pid of [String(gateway.pid), ...children].filter(Boolean)) {
      for (const file of ['cmdline', 'comm', 'status'])
        this.add(`${file} of ${pid}`, readFileSync(`/proc/${pid}/${file}`, 'utf8'))
    }
  }

  assertFree(secrets: Record<string, string>): void {
    assert.ok(this.#texts.length >= 20, `${this.#texts.length} texts`)
    for (const [where, text] of this.#texts) {
      for (const [name, secret] of Object.entries(secrets)) {
        for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64').slice(4, -4)]) {
          assert.not.ok(text.includes(form), `${name} in ${where}`)
        }
      }
    }
  }
}

/** Sends valid and invalid requests with secrets in every place, intended or not. */
const exercise = async (gateway: Gateway, tokens: Record<string, string>, emitted: Emitted): Promise<string[]> => {
  const tickets: string[] = []
  const call = async (where: string, answer: Promise<HttpResult>) => emitted.answer(await answer, where)
  for (const [name, token] of Object.entries(tokens)) {
    const headers = bearer(token)
    for (const path of [
      '/api/events',
      '/api/events/room/messages',
      '/metrics',
      '/readyz',
      '/api/revocations',
      '/api/health',
      '/api/rejected',
      '/openapi.json',
      '/asyncapi.json',
      '/docs',
      '/nope',
    ]) {
      await call(`${path} with ${name}`, getJson(gateway.url + path, { headers }))
      await call(`${path} by cookie`, getJson(gateway.url + path, { headers: { cookie: `access_token=${token}` } }))
      await call(`${path} in the query`, getJson(`${gateway.url}${path}?access_token=${token}`))
      await call(
        `${path} in other parameters`,
        getJson(`${gateway.url}${path}?limit=${token}&before=${token}`, { headers }),
      )
    }
    await call('in the path', getJson(`${gateway.url}/api/stream-tickets/${name}`, { headers }))
    await call('publish', postJson(`${eventUrl(gateway, 'room')}/messages`, chat(1), { headers }))
    await call('publish wrongly', postJson(`${eventUrl(gateway, 'room')}/messages`, '{', { headers }))
    await call(
      'foreign site',
      request('POST', `${gateway.url}/api/stream-tickets`, '', { headers: { ...headers, origin: 'https://x' } }),
    )
    await call('Basic', getJson(`${gateway.url}/api/events`, { headers: { authorization: `Basic ${token}` } }))
    const issued = await postJson(`${gateway.url}/api/stream-tickets`, '', { headers })
    if (issued.status === 201) tickets.push(issued.body.data.ticket)
  }
  for (const ticket of tickets) {
    const url = `${eventUrl(gateway, 'room')}/stream?ticket=${ticket}`
    const stream = await openSse(url)
    emitted.add('stream', JSON.stringify(stream.headers))
    if (stream.status === 200) await stream.next('caught_up')
    emitted.add('stream', stream.raw().toString())
    stream.close()
    await call('a used ticket', getJson(url))
    await call('a ticket elsewhere', getJson(`${gateway.url}/api/events?ticket=${ticket}`))
  }
  for (const path of ['/', '/events/room', '/page.js']) {
    const page = await getJson(gateway.url + path)
    assert.is(page.headers['referrer-policy'], 'no-referrer', 'what is in an address stays there')
    emitted.answer(page, path)
  }
  return tickets
}

test('are in no output of a gateway with workers, used rightly or wrongly', async () => {
  const secret = canary('secret')
  const password = canary('password')
  const emitted = new Emitted()
  const gateway = await startGateway({
    env: {
      JWT_SECRET: secret,
      WORKERS: '2',
      LOG_LEVEL: 'trace',
      // The target does not exist; only the log output matters.
      RABBITMQ_URL: `amqp://${canary('user')}:${password}@127.0.0.1:1/vhost`,
      METRICS_PORT: '',
    },
  })
  const key = Buffer.from(secret)
  const tokens = {
    good: await sign({ events: '*', scope: 'publish admin' }, { key }),
    expired: await sign({ exp: 1 }, { key }),
    foreign: await sign({ events: '*' }),
    none: forge({ alg: 'none' }, { sub: canary('sub') }),
    junk: canary('junk'),
  }
  const tickets = await exercise(gateway, tokens, emitted)
  await until(() => gateway.logs().some(({ code }) => code === 'broker_unreachable'), { what: 'a line of the fault' })
  emitted.process(gateway)
  await gateway.term()
  emitted.add('output at the end', gateway.output())
  // A ticket is shown once, to the caller that requested it; no other secret is ever shown.
  const used = Object.fromEntries(tickets.map((ticket, n) => [`ticket ${n}`, ticket]))
  emitted.assertFree({ secret, password, ...tokens, ...used })
  await gateway.dispose()
})

test.full('are in no text about a configuration, right or wrong', async () => {
  const emitted = new Emitted()
  const secrets = {
    secret: canary('s'),
    password: canary('p'),
    file: canary('f'),
    pem: makePair('ES256').publicPem.split('\n')[1]!,
  }
  const file = join(tempDir(), 'secret')
  writeFileSync(file, secrets.file)
  const environments: Record<string, string>[] = [
    { JWT_SECRET: secrets.secret, RABBITMQ_HOST: 'h', RABBITMQ_PASSWORD: secrets.password },
    { JWT_SECRET_FILE: file, RABBITMQ_URL: `amqp://u:${secrets.password}@h/v` },
    { JWT_SECRET: secrets.secret, JWT_SECRET_FILE: file },
    { JWT_SECRET: secrets.secret.slice(0, 31), PORT: 'x' },
    {
      JWT_SECRET: secrets.secret,
      JWT_PUBLIC_KEY: `-----BEGIN PUBLIC KEY-----\n${secrets.pem}\n-----END PUBLIC KEY-----`,
    },
    { JWT_PUBLIC_KEY: `-----BEGIN PRIVATE KEY-----\n${secrets.pem}\n-----END PRIVATE KEY-----` },
    { JWT_PUBLIC_KEY: secrets.pem },
    { JWT_JWKS_URL: `https://issuer.example/keys?key=${secrets.password}` },
    { JWT_JWKS_URL: `https://u:${secrets.password}@issuer.example/keys` },
    { DATABASE_URL: `postgres://u:${secrets.password}@127.0.0.1:1/db` },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://h', OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secrets.password}` },
    { OTEL_EXPORTER_OTLP_HEADERS: `${secrets.password}` },
    { RABBITMQ_URL: `http://u:${secrets.password}@h` },
  ]
  for (const [index, env] of environments.entries()) {
    // One as a process, whose output is all that Node writes too.
    const call = index === 0 ? runCli : callCli
    // The last one connects, and says what went wrong.
    for (const args of [['config'], ['token'], ...('DATABASE_URL' in env ? [['rejected', 'list']] : [])]) {
      const { stdout, stderr } = await call(args, { env })
      emitted.add(`${args.join(' ')} with ${Object.keys(env)}`, stdout + stderr)
    }
  }
  emitted.assertFree(secrets)
})

test.full('of a failing issuer are in no log line, and neither is its response', async () => {
  const emitted = new Emitted()
  const answer = canary('answer')
  const issuer = await new KeySetServer().start()
  issuer.failing = true
  const gateway = await startGateway({ env: { JWT_JWKS_URL: `${issuer.url}?x=1` } })
  for (let n = 0; n < 25; n++)
    emitted.answer(await getJson(`${gateway.url}/api/events`, { headers: bearer(answer) }), 'an answer')
  emitted.process(gateway)
  emitted.assertFree({ answer })
  await gateway.dispose()
  await issuer.stop()
})

test('are in no span, nor in a line on a receiver of spans that refuses', async () => {
  const emitted = new Emitted()
  const header = canary('otlp')
  const otlp = await startOtlp()
  otlp.answer = 401
  const gateway = await startGateway({
    env: guarded({
      OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${header}`,
      LOG_LEVEL: 'trace',
    }),
  })
  const token = await sign({ events: '*', scope: 'publish' })
  const headers = { ...bearer(token), traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }
  const publish = async (): Promise<void> => {
    for (let n = 0; n < 10; n++) {
      emitted.answer(await postJson(`${eventUrl(gateway, 'room')}/messages`, chat(n), { headers }), 'publishing')
    }
  }
  await publish()
  await gateway.waitForLog(({ msg }) => msg === 'trace export failed, spans dropped')
  otlp.answer = 200
  await publish()
  await otlp.span(() => true, 'of a message')
  assert.match(String(otlp.headers.authorization), header)
  emitted.add('spans', JSON.stringify(otlp.spans))
  emitted.process(gateway)
  await gateway.term()
  emitted.add('output at the end', gateway.output())
  emitted.assertFree({ header, token })
  await gateway.dispose()
  await otlp.dispose()
})

test.run()
