import * as assert from 'uvu/assert'
import { parseAddressList } from '../../../src/config/parsers.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createHostCheck, createOriginCheck } from '../../../src/http/auth/origin.ts'
import type { RawRequest } from '../../../src/http/request-view.ts'
import { TrustedProxies } from '../../../src/http/trusted-proxies.ts'
import { suite } from '../../support/harness/suite.ts'

const options = { proxies: new TrustedProxies(parseAddressList('10.0.0.0/8')!), corsOrigins: ['https://app.example'] }

interface Sent {
  /** A trusted proxy by default. */
  readonly peer?: string
  readonly encrypted?: true
  readonly [name: string]: string | true | undefined
}

const toRequest = ({ peer: remoteAddress = '10.1.1.1', encrypted, ...headers }: Sent) => {
  const socket = { remoteAddress, ...(encrypted && { encrypted }) }
  return {
    method: 'POST',
    querystring: '',
    get: (name: string) => headers[name] ?? '',
    req: { headers, socket },
  } as never
}

const checkOrigin = createOriginCheck(options)

/** @returns null if the page may change something, or the hint of the refusal */
const refusalOf = (sent: Sent): string | null => {
  try {
    checkOrigin(toRequest(sent))
    return null
  } catch (error) {
    assert.is((error as GatewayError).code, 'origin_forbidden')
    return (error as GatewayError).hint
  }
}

const own = suite('the own page behind a proxy')

own('is recognized by the host, port and scheme that a trusted proxy reports', () => {
  const cases: Sent[] = [
    { origin: 'http://gw.example:8081', host: 'gw.example:8081' },
    { origin: 'https://gw.example', host: 'gw.example' },
    { origin: 'https://gw.example', host: 'GW.example:443' },
    { origin: 'http://gw.example', host: 'gw.example:80' },
    { origin: 'https://gw.example', host: '127.0.0.1:8080', 'x-forwarded-host': 'gw.example' },
    { origin: 'https://gw.example', host: '127.0.0.1:8080', 'x-forwarded-host': 'gw.example, inner.example' },
    { origin: 'https://gw.example:8443', host: 'gw.example', 'x-forwarded-port': '8443', 'x-forwarded-proto': 'https' },
    { origin: 'http://gw.example:8081', host: 'gw.example', 'x-forwarded-port': '8081' },
    // An inner proxy often reports its own port.
    { origin: 'https://gw.example', host: 'gw.example', 'x-forwarded-port': '8080', 'x-forwarded-proto': 'http' },
    { origin: 'https://gw.example', host: '127.0.0.1', forwarded: 'for=192.0.2.1;host=gw.example;proto=https' },
    { origin: 'http://gw.example:81', host: '127.0.0.1', forwarded: 'for=192.0.2.1;host="gw.example:81"' },
    { origin: 'http://[2001:db8::1]:81', host: '[2001:db8::1]', 'x-forwarded-port': '81' },
  ]
  for (const sent of cases) assert.is(refusalOf(sent), null, JSON.stringify(sent))
})

own('is recognized by the browser, whatever the proxy does with the host', () => {
  const headers = { origin: 'https://gw.example:8443', host: 'gw.example' }
  assert.is(refusalOf({ ...headers, 'sec-fetch-site': 'same-origin' }), null)
  for (const site of ['same-site', 'cross-site', 'none', '']) {
    assert.type(refusalOf({ ...headers, 'sec-fetch-site': site }), 'string', site)
  }
})

own('is refused with what the proxy has to send, if that is missing', () => {
  assert.match(refusalOf({ origin: 'http://gw.example:8081', host: 'gw.example' })!, 'proxy_set_header Host $http_host')
  const untrusted = { peer: '192.0.2.9', origin: 'https://gw.example', host: '127.0.0.1:8080' }
  assert.match(refusalOf({ ...untrusted, 'x-forwarded-host': 'gw.example' })!, 'TRUSTED_PROXIES')
  assert.not.match(refusalOf({ origin: 'https://evil.example', host: 'gw.example' })!, /proxy/i)
})

own('is no other page', () => {
  const cases: Sent[] = [
    { origin: 'https://evil.example', host: 'gw.example' },
    { origin: 'null', host: 'gw.example' },
    { origin: 'http://gw.example', host: 'gw.example', encrypted: true },
    { origin: 'http://gw.example', host: 'gw.example', 'x-forwarded-proto': 'https' },
    { origin: 'https://gw.example:8443', host: 'gw.example', 'x-forwarded-port': 'x' },
    { peer: '192.0.2.9', origin: 'https://evil.example', host: 'gw.example', 'x-forwarded-host': 'evil.example' },
    { peer: '192.0.2.9', origin: 'https://evil.example', host: 'gw.example', forwarded: 'host=evil.example' },
    // Only the outermost trusted proxy is asked.
    {
      origin: 'https://evil.example',
      host: 'gw.example',
      forwarded: 'host=evil.example, for=192.0.2.1;host=gw.example',
    },
    { origin: 'https://evil.example', host: 'evil.example/@gw.example' },
    { origin: 'https://evil.example', host: 'gw.example@evil.example' },
    { origin: 'https://evil.example', host: 'evil.example\\gw.example' },
  ]
  for (const sent of cases) assert.type(refusalOf(sent), 'string', JSON.stringify(sent))
})

own('is reached by HTTPS if the connection or a trusted proxy shows it', () => {
  const isHttps = (sent: Sent): boolean => options.proxies.isHttps((toRequest(sent) as { req: RawRequest }).req)
  for (const sent of [{ encrypted: true }, { 'x-forwarded-proto': 'HTTPS' }, { forwarded: 'proto=https' }] as const) {
    assert.ok(isHttps(sent), JSON.stringify(sent))
  }
  const untrusted = { peer: '192.0.2.9', 'x-forwarded-proto': 'https' }
  for (const sent of [{}, { 'x-forwarded-proto': 'http' }, untrusted])
    assert.not.ok(isHttps(sent), JSON.stringify(sent))
})

const hosts = suite('host names without tokens')

const isServed = (host: string, names: readonly string[] = []): boolean => {
  try {
    createHostCheck(options, names)(toRequest({ host }))
    return true
  } catch {
    return false
  }
}

hosts('are compared without regard to case, port and a final dot', () => {
  for (const host of [
    'LOCALHOST.',
    'localhost.:8080',
    'LocalHost',
    'app.localhost.',
    'APP.example',
    'app.example:443',
  ]) {
    assert.ok(isServed(host), host)
  }
  assert.ok(isServed('Gateway.Example.:8080', ['gateway.example']))
  for (const host of ['evil.', 'evil.example.', 'localhost.evil.example', 'localhost..', '.localhost.evil']) {
    assert.not.ok(isServed(host, ['gateway.example']), host)
  }
})

own.run()
hosts.run()
