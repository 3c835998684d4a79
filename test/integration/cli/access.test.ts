// needs: openssl
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { ParsedArgs } from '../../../src/cli/command.ts'
import { demoToken } from '../../../src/cli/demo/token.ts'
import { loadConfig } from '../../../src/config/config.ts'
import { callCli, jsonLines, type Ran, runCli, startCli } from '../../support/clients/cli.ts'
import { bearer, guarded, makePair, now, SECRET, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { testAuthority } from '../../support/harness/transport.ts'
import { postJson, tempDir, until } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type Env, type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { startLocalGateway } from '../../support/servers/local-gateway.ts'
import { chat, eventUrl, newRoom } from '../../support/stages/rooms.ts'

const test = suite('the command line with tokens')

let gateway: Gateway
const env = (more: Env = {}): Env => ({ PORT: new URL(gateway.url).port, ...more })

/** Every token of these tests and all output of the commands, which must not contain a token. */
const tokens: string[] = []
const said: string[] = []

const tokenOf = async (claims: Parameters<typeof sign>[0], options?: Parameters<typeof sign>[1]): Promise<string> => {
  const token = await sign(claims, options)
  tokens.push(token)
  return token
}

/** Writes this text to a new file. */
const fileOf = (text: string): string => {
  const file = join(tempDir(), 'token')
  writeFileSync(file, text)
  return file
}

const run = async (args: string[], more: Env = {}, call = callCli): Promise<Ran> => {
  const ran = await call(args, { env: env(more) })
  said.push(ran.stdout, ran.stderr)
  return ran
}

/** Publishes without the command line. */
const put = async (room: string, count = 1, to: Pick<Gateway, 'url'> = gateway): Promise<void> => {
  const token = await tokenOf({ events: '*', scope: 'publish' })
  const messages = Array.from({ length: count }, (_, n) => chat(n))
  const { status, text } = await postJson(`${eventUrl(to, room)}/messages`, messages, { headers: bearer(token) })
  assert.is(status, 201, text)
}

const dbIds = (text: string): number[] => jsonLines<{ db_id: number }>(text).map(({ db_id }) => db_id)

test.before(async () => {
  gateway = await startGateway({ env: guarded({ HEARTBEAT_SECONDS: '1' }) })
})
test.after(() => gateway?.dispose())

test('events, tail, publish and demo show the token of --token-file, of GATEWAY_TOKEN_FILE or of GATEWAY_TOKEN', async () => {
  const room = newRoom()
  const token = await tokenOf({ events: '*', scope: 'publish' })
  const file = fileOf(`${token}\n`)
  const ways: [string[], Env][] = [
    [['--token-file', file], {}],
    // The flag takes precedence over the environment.
    [['--token-file', file], { GATEWAY_TOKEN: 'another' }],
    [[], { GATEWAY_TOKEN_FILE: file }],
    [[], { GATEWAY_TOKEN: token }],
  ]
  for (const [index, [flags, more]] of ways.entries()) {
    const call = index === 0 ? runCli : callCli
    const sent = await run(['publish', '--event', room, '--content', `hello ${index}`, ...flags], more, call)
    assert.equal([sent.code, sent.stderr], [0, ''])
    const heard = await run(['tail', room, '--json', '--once', ...flags], more, call)
    assert.equal([heard.code, dbIds(heard.stdout).length], [0, index + 1], heard.stderr)
    const listed = await run(['events', '--json', ...flags], more)
    assert.match(listed.stdout, `"event_id":"${room}","messages":${index + 1},`)
  }
  const played = await run(['demo', '--events', '1', '--speed', '5000', '--token-file', file])
  assert.is(played.code, 0, played.stderr)
  assert.match(played.stderr, /The page asks for a token[\s\S]* messages published\.\n$/)
})

test('a refused call prints its code, cause and hint, with exit code 1', async () => {
  const room = newRoom()
  const missing = /Set a token with --token-file FILE, GATEWAY_TOKEN_FILE or GATEWAY_TOKEN/
  const cases: [string, Record<string, unknown> | null, RegExp, RegExp][] = [
    ['events', null, /token_missing/, missing],
    ['tail', null, /token_missing/, missing],
    ['tail', { events: '*', exp: now() - 10 }, /token_expired/, missing],
    ['tail', { events: ['elsewhere'] }, /event_forbidden/, /events claim must list each event/],
    ['publish', null, /token_missing/, missing],
    ['publish', { events: '*' }, /scope_missing/, /scope claim must contain/],
    ['publish', { events: ['elsewhere'], scope: 'publish' }, /event_forbidden/, /events claim/],
    ['demo', { events: '*' }, /scope_missing/, /scope claim must contain/],
  ]
  for (const [command, claims, code, hint] of cases) {
    const flags = claims === null ? [] : ['--token-file', fileOf(await tokenOf(claims))]
    const words: Record<string, string[]> = {
      events: [],
      tail: [room, '--once'],
      // It would retry for this long if the rejection were not permanent.
      publish: ['--event', room, '--content', 'x', '--timeout', '3600'],
      demo: ['--speed', '5000'],
    }
    const { code: exit, stdout, stderr } = await run([command, ...words[command]!, ...flags])
    const what = `${command} ${JSON.stringify(claims)}: ${stderr}`
    assert.equal([exit, stdout], [1, ''], what)
    assert.ok(code.test(stderr) && hint.test(stderr.replace(/\s+/g, ' ')), what)
  }
})

test('text in the place of a token is never shown', async () => {
  const token = await tokenOf({ events: '*' })
  const calls: [string[], Env, RegExp][] = [
    [['--token-file', token], {}, /--token-file cannot be read: (ENOENT|ENAMETOOLONG)/],
    [['--token-file', fileOf('')], {}, /--token-file is empty/],
    [['--token-file', fileOf(`Bearer ${token}`)], {}, /must contain exactly one token/],
    [['--token-file', fileOf(`${token}\r\nx: y`)], {}, /must contain exactly one token/],
    [[], { GATEWAY_TOKEN: `${token} ` }, /GATEWAY_TOKEN must be a single token, without the prefix Bearer/],
    [[], { GATEWAY_TOKEN_FILE: token }, /GATEWAY_TOKEN_FILE cannot be read/],
    [[], { GATEWAY_TOKEN: token, GATEWAY_TOKEN_FILE: fileOf(token) }, /are both set; keep one/],
    [['--token', token], {}, /Unknown option '--token'/],
    [['--url', `http://ann:${token}@127.0.0.1:1`], {}, /--url must not contain a user or password/],
    [['--url', `ftp://ann:${token}@127.0.0.1/?t=${token}`], {}, /--url must be an http/],
  ]
  for (const [flags, more, says] of calls) {
    const { code, stdout, stderr } = await run(['tail', 'room', '--once', ...flags], more)
    assert.equal([code, stdout], [2, ''], stderr)
    assert.match(stderr, says)
  }
})

test('--token-file is a usage error when publishing through RabbitMQ', async () => {
  for (const args of [['publish', '--event', 'e', '--content', 'x'], ['demo'], ['serve', '--demo']]) {
    const { code, stderr } = await run([...args, '--token-file', fileOf('x')], { RABBITMQ_HOST: '127.0.0.1' })
    assert.is(code, 2)
    assert.match(stderr, /--token-file requires HTTP, but RABBITMQ_URL or RABBITMQ_HOST is set/)
  }
})

test.full('a tail whose token expires continues with the next one once it is in the file', async () => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const local = await startLocalGateway(guarded({ HEARTBEAT_SECONDS: '1' }))
  try {
    const room = newRoom()
    const file = fileOf(await tokenOf({ events: [room] }))
    await put(room, 3, local)
    const tail = startCli(['tail', room, '--json', '--token-file', file], { env: { PORT: new URL(local.url).port } })
    await tail.seen(/"db_id":\d+\}\n.*\n.*\n/)
    const shown = ['cmdline', 'comm', 'status'].map((name) => readFileSync(`/proc/${tail.child.pid}/${name}`, 'utf8'))
    said.push(...shown)
    // The next token is being written when the first one expires.
    writeFileSync(file, '')
    mock.timers.setTime(Date.now() + 3_601_000)
    await tail.seen(/token_expired/)
    await tail.seen(/Connection lost: --token-file is empty\. Reconnecting/)
    await put(room, 3, local)
    writeFileSync(file, await tokenOf({ events: [room] }))
    await tail.seen(/(.*"db_id":\d+\}\n){6}/)
    tail.child.kill('SIGTERM')
    const { code, stdout, stderr } = await tail.done
    said.push(stdout, stderr)
    assert.is(code, 143)
    const ids = messageRows(local.dbFile, room).map(({ db_id }) => db_id)
    assert.equal(dbIds(stdout), ids)
    assert.is(ids.length, 6)
  } finally {
    await local.stop()
    mock.timers.reset()
  }
})

/** A server that rejects every token and records it. */
const refusing = async (onAsked: (count: number) => void) => {
  const shown: (string | undefined)[] = []
  const server = createServer((request, response) => {
    shown.push(request.headers.authorization)
    onAsked(shown.length)
    response.writeHead(401, { 'content-type': 'application/json' })
    response.end('{"status":"error","code":"token_expired","message":"The token has expired.","hint":"x"}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = () => new Promise((resolve) => server.close(resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, shown, stop }
}

test('a token that was refused is not sent again; one that has been renewed meanwhile is', async () => {
  const [first, second] = [await tokenOf({}), await tokenOf({ sub: 'second' })]
  const file = fileOf(first)
  const strict = await refusing((count) => {
    if (count === 1) writeFileSync(file, second)
  })
  const args = ['publish', '--event', 'e', '--content', 'x', '--token-file', file, '--url', strict.url]
  const { code, stderr } = await run(args)
  assert.is(code, 1)
  assert.match(stderr, /token_expired/)
  assert.equal(strict.shown, [`Bearer ${first}`, `Bearer ${second}`])
  await strict.stop()
})

test('a token is not sent to the target of a redirect', async () => {
  const token = await tokenOf({ events: '*' })
  const other = await refusing(() => undefined)
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization)
    response.writeHead(307, { location: other.url + request.url }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { code } = await run(['tail', 'e', '--once', '--url', url, '--token-file', fileOf(token)])
  assert.is(code, 1)
  assert.equal([asked, other.shown], [[`Bearer ${token}`], [undefined]])
  await new Promise((resolve) => server.close(resolve))
  await other.stop()
})

const played = async (served: Gateway): Promise<void> => {
  await until(() => messageRows(served.dbFile).length > 20, { what: 'the play' })
}

test('serve --demo uses its own token if JWT_SECRET can sign it', async () => {
  const served = await startGateway({
    args: ['--demo', '--events', '1', '--speed', '2000'],
    env: guarded({ JWT_ISSUER: 'me', JWT_AUDIENCE: 'you' }),
  })
  try {
    await played(served)
    assert.is((await served.term()).code, 0, served.output())
    said.push(served.output())
    assert.match(served.output(), /The page asks for a token/)
    assert.not.match(served.output(), /eyJ[\w-]+\.eyJ|The demo (was interrupted|has ended)/)
  } finally {
    await served.dispose()
  }
})

test.full(
  'the token of serve --demo is short-lived, has the required claims, and is renewed before it expires',
  async () => {
    const config = loadConfig({ JWT_SECRET: SECRET, JWT_ISSUER: 'me', JWT_AUDIENCE: 'you' })
    const source = await demoToken(new ParsedArgs({}, []), config)
    const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
    const realNow = Date.now
    try {
      const first = (await source())!
      const { iat, exp, ...claims } = claimsOf(first)
      assert.equal(claims, { sub: 'demo', events: '*', scope: 'publish', iss: 'me', aud: 'you' })
      assert.ok(exp - iat <= 300)
      assert.is(await source(), first)
      Date.now = () => realNow() + 239_000
      assert.is(await source(), first)
      Date.now = () => realNow() + 241_000
      const second = (await source())!
      assert.ok(second !== first && claimsOf(second).exp > exp)
    } finally {
      Date.now = realNow
    }
  },
)

test.full('serve --demo with a public key reports that it needs a token, and uses the one given', async () => {
  const pair = makePair('EdDSA')
  const keys = { JWT_PUBLIC_KEY: pair.publicPem }
  const none = await run(['serve', '--demo'], { ...keys, PORT: '0', DATABASE_URL: `sqlite:${tempDir()}/gateway.db` })
  assert.is(none.code, 2)
  assert.match(none.stderr, /public keys, which cannot sign one.*--token-file, GATEWAY_TOKEN_FILE or GATEWAY_TOKEN/)
  const signed = { key: pair.privateKey, alg: pair.alg }
  const start = (token: string) =>
    startGateway({ args: ['--demo', '--speed', '2000', '--token-file', fileOf(token)], env: keys })
  const good = await start(await tokenOf({ events: '*', scope: 'publish' }, signed))
  const poor = await start(await tokenOf({ events: '*' }, signed))
  try {
    await played(good)
    await until(() => /The demo has stopped, the gateway keeps running: .*scope/.test(poor.output()), {
      what: 'the end',
    })
    assert.is((await poor.term()).code, 0)
    said.push(good.output(), poor.output())
  } finally {
    await good.dispose()
    await poor.dispose()
  }
})

test('a certificate of a private authority is reported as such, and accepted with that authority', async () => {
  const { certFile, keyFile } = testAuthority().issue()
  const served = await startGateway({ env: guarded({ TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }) })
  try {
    const file = fileOf(await tokenOf({ events: '*', scope: 'publish' }))
    const args = ['publish', '--event', 'e', '--content', 'x', '--url', served.url, '--token-file', file]
    const { code, stderr } = await run([...args, '--timeout', '3'])
    assert.is(code, 1)
    assert.match(stderr, /gateway_unreachable[\s\S]*certificate[\s\S]*NODE_EXTRA_CA_CERTS/)
    const trusting = await run(args, { NODE_EXTRA_CA_CERTS: testAuthority().caFile }, runCli)
    assert.is(trusting.code, 0, trusting.stderr)
  } finally {
    await served.dispose()
  }
})

test('no token is in the output of a command or a gateway', () => {
  assert.ok(tokens.length > 10 && said.length > 40)
  for (const text of said) for (const token of [...tokens, SECRET]) assert.not.ok(text.includes(token), text)
})

test.run()
