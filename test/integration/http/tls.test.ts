// needs: openssl
import { X509Certificate } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import * as assert from 'uvu/assert'
import { openHttp2 } from '../../support/clients/http2-client.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { testAuthority } from '../../support/harness/transport.ts'
import { tempDir, until } from '../../support/harness/wait.ts'
import type { Authority, Pair } from '../../support/servers/certificates.ts'
import { type Gateway, type LogLine, startGateway } from '../../support/servers/gateway.ts'

let authority: Authority
const started: Gateway[] = []
const sockets: TLSSocket[] = []

const serve = async ({ certFile, keyFile }: Pair, env: Record<string, string> = {}): Promise<Gateway> => {
  const gateway = await startGateway({ env: { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, ...env } })
  started.push(gateway)
  return gateway
}

/** One for all tests that need no settings. */
let common: Gateway | undefined

const serveCommon = async (): Promise<Gateway> => {
  const { certFile, keyFile } = authority.issue()
  common ??= await startGateway({ env: { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } })
  return common
}

const portOf = (gateway: Gateway): number => Number(new URL(gateway.url).port)

const connect = (gateway: Gateway, options: ConnectionOptions = {}): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: portOf(gateway), ca: authority.ca, ...options })
    sockets.push(socket)
    socket.once('secureConnect', () => resolve(socket)).on('error', reject)
  })

const serialIn = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber

/** Returns the serial number of the certificate that a new connection receives. */
const serialOf = async (gateway: Gateway): Promise<string> => {
  const socket = await connect(gateway)
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

const nowServes = async (gateway: Gateway, { certFile }: Pair): Promise<void> => {
  const wanted = serialIn(certFile)
  // Any worker may respond, and each polls the files separately.
  const all = async (): Promise<boolean> => {
    for (let n = 0; n < 12; n++) if ((await serialOf(gateway)) !== wanted) return false
    return true
  }
  await until(all, { what: `the certificate ${certFile}`, everyMs: 100 })
}

/** Returns all data of a connection, or the data received once `enough` is true. */
const answerOf = (socket: net.Socket, request: string, enough: (seen: string) => boolean): Promise<string> =>
  new Promise((resolve) => {
    let seen = ''
    socket.on('data', (bytes) => {
      seen += bytes
      if (enough(seen)) resolve(seen)
    })
    socket.once('close', () => resolve(seen))
    socket.on('error', () => {})
    socket.write(request)
  })

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

const lines = (gateway: Gateway, msg: RegExp): LogLine[] => gateway.logs().filter((line) => msg.test(line.msg ?? ''))

const https = suite('HTTPS')

https.before(() => {
  authority = testAuthority()
})
https.after.each(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const gateway of started.splice(0)) await gateway.dispose()
})

https.after(() => common?.dispose())

https('treats its http:// origin as another site, since that page could be forged in transit', async () => {
  const gateway = await serveCommon()
  const post = async (origin: string): Promise<string> => {
    const headers = `Host: ${new URL(gateway.url).host}\r\nOrigin: ${origin}\r\nContent-Type: application/json`
    const body = '{"message_from":"me","message_type":"chat","message_content":"x"}'
    const text = `POST /api/events/room/messages HTTP/1.1\r\n${headers}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    return answerOf(await connect(gateway), text, (seen) => seen.includes('}'))
  }
  assert.match(await post(gateway.url), /^HTTP\/1\.1 201 /)
  assert.match(await post(gateway.url.replace('https', 'http')), /^HTTP\/1\.1 403 .*origin_forbidden/s)
})

https('speaks HTTP/2 to clients that offer it, HTTP/1.1 to all others, and at least TLS 1.2', async () => {
  const gateway = await serveCommon()
  assert.match(gateway.url, /^https:/)
  const spoken = async (offered?: string[]): Promise<string | false | null> =>
    (await connect(gateway, offered === undefined ? {} : { ALPNProtocols: offered })).alpnProtocol
  assert.is(await spoken(['h2', 'http/1.1']), 'h2')
  assert.is(await spoken(['http/1.1']), 'http/1.1')
  assert.is(await spoken(), false)
  const plain = await connect(gateway)
  assert.match(await answerOf(plain, GET('/livez'), (seen) => seen.includes('}}')), /^HTTP\/1\.1 200 OK\r\n/)
  const refused = async (options: ConnectionOptions): Promise<string> => {
    const error = await connect(gateway, options).then(
      () => new Error('it was let in'),
      (caught) => caught,
    )
    return String((error as { code?: string }).code ?? error.message)
  }
  assert.match(await refused({ ALPNProtocols: ['spdy/3'] }), /NO_APPLICATION_PROTOCOL/)
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  assert.match(await refused(old), /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|HANDSHAKE_FAILURE/)
  assert.is((await connect(gateway, { maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2')
})

https('offers with TLS 1.2 only ciphers with forward secrecy and authenticated encryption', async () => {
  const gateway = await serveCommon()
  const strong = /^(TLS_|ECDHE-.*(GCM|CHACHA20))/
  const agreed: string[] = []
  for (const cipher of tls.getCiphers().map((name) => name.toUpperCase())) {
    if (cipher.startsWith('TLS_')) continue
    // Without the level, this client would not offer the weak ones.
    const options = { maxVersion: 'TLSv1.2', ciphers: `${cipher}:@SECLEVEL=0` } as const
    const socket = await connect(gateway, options).catch(() => null)
    if (socket !== null) agreed.push(socket.getCipher().name)
  }
  assert.ok(agreed.length >= 2, agreed.join())
  assert.equal(
    agreed.filter((name) => !strong.test(name)),
    [],
  )
  assert.match((await connect(gateway)).getCipher().name, /^TLS_/)
})

https('closes a connection that sends plain HTTP or nothing, and keeps running', async () => {
  const gateway = await serve(authority.issue(), { HEADERS_TIMEOUT_SECONDS: '1' })
  const plain = net.connect(portOf(gateway), '127.0.0.1')
  assert.not.match(await answerOf(plain, GET('/livez'), () => false), /200 OK/)
  const silent = net.connect(portOf(gateway), '127.0.0.1')
  assert.is(await answerOf(silent, '', () => false), '')
  const mute = await connect(gateway)
  await answerOf(mute, '', () => false)
  const bad = await connect(gateway)
  assert.match(await answerOf(bad, 'no HTTP at all\r\n\r\n', () => false), /^HTTP\/1\.1 400 .*malformed_request/s)
  await gateway.ready()
})

https('reports when its certificate expires, and warns if that is soon', async () => {
  const pair = authority.issue({ days: 3 })
  const gateway = await serve(pair, { WORKERS: String(runs(1, 2)) })
  await gateway.waitForLog(({ msg }) => msg === 'TLS certificate expires soon')
  const { session, open } = await openHttp2(gateway.url, authority.ca)
  const expiry = Date.parse(new X509Certificate(readFileSync(pair.certFile)).validTo) / 1_000
  // The second worker may still be starting, so the first response may lack its metrics.
  const told = await until(
    async () => {
      const figures = await open('/metrics')
      await until(() => figures.closed, { what: 'the figures' })
      return /^gateway_certificate_expiry_timestamp_seconds (\d+)$/m.exec(figures.text())?.[1]
    },
    { what: 'the end of the certificate among the figures', everyMs: 200 },
  )
  assert.is(Number(told), expiry)
  session.destroy()
})

/** Streams over both protocols, which must survive a change of the certificate. */
const openStreams = async (gateway: Gateway): Promise<() => Promise<void>> => {
  const h2 = await openHttp2(gateway.url, authority.ca)
  const over2 = await h2.open('/api/events/room/stream')
  await over2.says('caught_up')
  const socket = await connect(gateway)
  let over1 = ''
  socket.on('data', (bytes) => {
    over1 += bytes
  })
  socket.write(GET('/api/events/room/stream'))
  await until(() => over1.includes('caught_up'), { what: 'the stream over HTTP/1.1' })
  const body = JSON.stringify({ message_content: 'after the change' })
  return async () => {
    const answer = await h2.open('/api/events/room/messages', { ':method': 'POST' }, body)
    assert.is(answer.status, 201)
    await over2.says('after the change')
    await until(() => over1.includes('after the change'), { what: 'the message over HTTP/1.1' })
    assert.equal([over2.closed, socket.destroyed], [false, false])
    h2.close()
  }
}

for (const workers of ['1', '2']) {
  const add = workers === '2' ? https : https.full
  add(`takes a renewed certificate without dropping a stream, with WORKERS=${workers}`, async () => {
    const dir = tempDir()
    const used = { certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') }
    const [first, second, third] = [authority.issue(), authority.issue(), authority.issue()]
    const put = (pair: Pair): void => {
      copyFileSync(pair.certFile, used.certFile)
      copyFileSync(pair.keyFile, used.keyFile)
    }
    put(first)
    const gateway = await serve(used, { WORKERS: workers })
    await nowServes(gateway, first)
    const stillThere = await openStreams(gateway)
    // Overwritten in place.
    put(second)
    await nowServes(gateway, second)
    // Renamed into place.
    for (const name of ['certFile', 'keyFile'] as const) {
      copyFileSync(third[name], `${used[name]}.new`)
      renameSync(`${used[name]}.new`, used[name])
    }
    await nowServes(gateway, third)
    assert.ok(lines(gateway, /^TLS certificate reloaded$/).length >= 2)
    await stillThere()
  })
}

https.full('follows the symbolic links of a Kubernetes secret', async () => {
  const dir = tempDir()
  const pairs = [authority.issue(), authority.issue()]
  for (const [index, pair] of pairs.entries()) {
    mkdirSync(join(dir, `..${index}`))
    copyFileSync(pair.certFile, join(dir, `..${index}`, 'tls.crt'))
    copyFileSync(pair.keyFile, join(dir, `..${index}`, 'tls.key'))
  }
  symlinkSync('..0', join(dir, '..data'))
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(dir, name))
  const gateway = await serve({ certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') })
  await nowServes(gateway, pairs[0]!)
  symlinkSync('..1', join(dir, '..data_tmp'))
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
  await nowServes(gateway, pairs[1]!)
})

https.full('keeps the old pair while the new one is unusable, and logs it once', async () => {
  const dir = tempDir()
  const used = { certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') }
  const [first, second] = [authority.issue(), authority.issue()]
  copyFileSync(first.certFile, used.certFile)
  copyFileSync(first.keyFile, used.keyFile)
  const gateway = await serve(used)
  const stillThere = await openStreams(gateway)
  const complaints = (): LogLine[] => lines(gateway, /^TLS certificate reload failed/)
  const complains = async (count: number, text: RegExp): Promise<void> => {
    await until(() => complaints().length >= count, { what: `complaint ${count}` })
    assert.match(String(complaints().at(-1)?.cause), text)
    assert.is(complaints().at(-1)?.code, 'certificate_invalid')
    assert.is(await serialOf(gateway), serialIn(first.certFile))
  }
  copyFileSync(second.certFile, used.certFile)
  await complains(1, /key values mismatch/)
  writeFileSync(used.certFile, '-----BEGIN CERTIFICATE-----\nhalf of')
  await complains(2, /cannot be used/)
  renameSync(used.keyFile, `${used.keyFile}.away`)
  await complains(3, /cannot be read: ENOENT/)
  copyFileSync(second.certFile, used.certFile)
  copyFileSync(second.keyFile, used.keyFile)
  await nowServes(gateway, second)
  await stillThere()
  assert.is(complaints().length, 3, gateway.output())
  assert.not.match(gateway.output(), readFileSync(second.keyFile, 'utf8').split('\n')[1]!)
})

https.run()
