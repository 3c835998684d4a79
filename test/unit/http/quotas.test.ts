import { EventEmitter } from 'node:events'
import * as assert from 'uvu/assert'
import { createLocalCoordinator } from '../../../src/cluster/coordinator.ts'
import { parseAddressList } from '../../../src/config/parsers.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { Quotas } from '../../../src/http/quotas.ts'
import { TrustedProxies } from '../../../src/http/trusted-proxies.ts'
import { measureGrowth } from '../../support/harness/processor-time.ts'
import { suite } from '../../support/harness/suite.ts'

const gate = suite('bodies in memory')

gate('are bounded in total and per caller, and released when their responses are sent', () => {
  const MEGABYTE = 1024 * 1024
  const none = { streams: 0, streamsPerToken: 0, streamsPerAddress: 0, publishRate: 0, publishBurst: 1 }
  const rest = { connections: 0, connectionsPerAddress: 0, headersMs: 1, requestMs: 1, keepAliveMs: 1 }
  const one = new Quotas({ ...none, ...rest }, createLocalCoordinator(), new TrustedProxies(parseAddressList('')!))
  const request = (who: string, address = '192.0.2.1') => {
    const res = new EventEmitter()
    const req = { socket: { remoteAddress: address }, headers: {} }
    const principal = who === '' ? null : { tokenId: who }
    return { res, hold: one.trackBodyBytes({ req, res } as never, { principal } as never) }
  }
  const isFull = (hold: (bytes: number) => void, megabytes: number): void =>
    assert.throws(
      () => hold(megabytes * MEGABYTE),
      (error: GatewayError) => error.code === 'overloaded' && error.status === 503,
    )
  const [greedy, again] = [request('greedy'), request('greedy')]
  for (let n = 0; n < 60; n++) greedy.hold(MEGABYTE)
  isFull(again.hold, 5)
  const modest = request('modest')
  modest.hold(60 * MEGABYTE)
  // Without authentication the quota applies per address; loopback stands for all clients.
  const far = request('')
  far.hold(60 * MEGABYTE)
  isFull(request('').hold, 5)
  const near = request('', '127.0.0.1')
  for (let n = 0; n < 7; n++) near.hold(10 * MEGABYTE)
  isFull(request('late').hold, 10)
  for (const { res } of [greedy, again, modest, far, near]) res.emit('close')
  // The client disconnected while its page was read.
  for (let n = 0; n < 60; n++) greedy.hold(MEGABYTE)
  request('a large one').hold(256 * MEGABYTE)
})

const proxies = suite('the client address')

const requestFrom = (remoteAddress: string, headers: Record<string, string>) =>
  ({ socket: { remoteAddress }, headers }) as never

const clientOf = (trusted: string, remoteAddress: string, forwarded?: string, name = 'x-forwarded-for') =>
  new TrustedProxies(parseAddressList(trusted)!).clientAddress(
    requestFrom(remoteAddress, forwarded === undefined ? {} : { [name]: forwarded }),
  )

proxies('is the peer, whatever its headers claim', () => {
  assert.is(clientOf('', '192.0.2.1', '198.51.100.1'), '192.0.2.1')
  assert.is(clientOf('10.0.0.0/8', '192.0.2.1', '198.51.100.1'), '192.0.2.1')
  assert.is(clientOf('', '::ffff:192.0.2.1'), '192.0.2.1')
  assert.is(clientOf('', '127.0.0.1', '198.51.100.1'), null)
})

proxies('is the address that a trusted proxy reports, and nothing beyond it', () => {
  const trusted = '10.0.0.0/8, 127.0.0.1, 2001:db8:1::/48'
  assert.is(clientOf(trusted, '10.1.1.1', '198.51.100.1'), '198.51.100.1')
  assert.is(clientOf(trusted, '127.0.0.1', '198.51.100.1'), '198.51.100.1')
  assert.is(clientOf(trusted, '::ffff:10.1.1.1', ' 203.0.113.9 , 198.51.100.1 , 10.9.9.9'), '198.51.100.1')
  assert.is(clientOf(trusted, '2001:db8:1::7', '198.51.100.1'), '198.51.100.1')
  for (const bad of [
    '',
    'unknown',
    '198.51.100.1:x',
    '198.51.100.300',
    '198.51.100.300:80',
    '[::1',
    '<script>',
    'a, b',
  ]) {
    assert.is(clientOf(trusted, '10.1.1.1', bad), '10.1.1.1', bad)
  }
})

proxies('is found in each notation of an address with a port', () => {
  for (const [entry, address] of [
    ['203.0.113.3:1111', '203.0.113.3'],
    ['"203.0.113.3:1111"', '203.0.113.3'],
    ['[2001:db8:1::1]:1111', '2001:db8:1:0::/64'],
    ['[2001:db8:1::1]', '2001:db8:1:0::/64'],
    ['"[2001:db8:1::1]:1111"', '2001:db8:1:0::/64'],
    ['[::ffff:203.0.113.3]:1111', '203.0.113.3'],
  ] as const) {
    assert.is(clientOf('10.0.0.0/8', '10.1.1.1', entry), address, entry)
    assert.is(clientOf('10.0.0.0/8', '10.1.1.1', `198.51.100.1, ${entry}, 10.2.2.2:80`), address, entry)
  }
})

proxies('is found in Forwarded if no other header reports it', () => {
  const of = (forwarded: string) => clientOf('10.0.0.0/8', '10.1.1.1', forwarded, 'forwarded')
  assert.is(of('for=192.0.2.60;proto=http;by=10.1.1.1'), '192.0.2.60')
  assert.is(of('For="[2001:db8:cafe::17]:4711"; Host="a,b;c"'), '2001:db8:cafe:0::/64')
  assert.is(of('for=203.0.113.9, for=192.0.2.60, for="10.2.2.2:80"'), '192.0.2.60')
  for (const bad of [
    '',
    'for=unknown',
    'for=_hidden',
    'for="',
    'proto=https',
    '"'.repeat(9_999),
    'for=1;'.repeat(999),
  ]) {
    assert.is(of(bad), '10.1.1.1', bad)
  }
  assert.is(clientOf('10.0.0.0/8', '192.0.2.1', 'for=198.51.100.1', 'forwarded'), '192.0.2.1')
  // A proxy that writes only X-Forwarded-For passes on what its client claims in the other header.
  const both = requestFrom('10.1.1.1', { 'x-forwarded-for': '192.0.2.60', forwarded: 'for=203.0.113.9' })
  assert.is(new TrustedProxies(parseAddressList('10.0.0.0/8')!).clientAddress(both), '192.0.2.60')
})

proxies('is found in Forwarded in linear time', () => {
  const growth = measureGrowth((size) => {
    assert.is(clientOf('10.0.0.0/8', '10.1.1.1', 'a'.repeat(size), 'forwarded'), '10.1.1.1')
  }, 20_000)
  assert.ok(growth < 40, `ten times the letters take ${growth} times the processor`)
})

proxies('that is hidden by a proxy without trust is reported once', () => {
  const reported: unknown[] = []
  const one = new TrustedProxies(parseAddressList('10.0.0.0/8')!, (...args) => reported.push(args))
  one.clientAddress(requestFrom('192.0.2.1', {}))
  one.clientAddress(requestFrom('10.1.1.1', { 'x-forwarded-for': '198.51.100.1' }))
  assert.equal(reported, [])
  one.clientAddress(requestFrom('::ffff:192.0.2.1', { forwarded: 'for=198.51.100.1' }))
  one.clientAddress(requestFrom('192.0.2.2', { 'x-forwarded-for': '198.51.100.1' }))
  assert.equal(reported, [['192.0.2.1', false]])
  const local = new TrustedProxies(parseAddressList('')!, (...args) => reported.push(args))
  local.clientAddress(requestFrom('::1', { 'x-forwarded-for': '198.51.100.1' }))
  assert.equal(reported[1], ['::1', true])
})

proxies('has one name for all addresses of an IPv6 network', () => {
  const names = ['2001:db8::1', '2001:db8:0:0:1:2:3:4', '2001:0db8:0000::ffff'].map((address) => clientOf('', address))
  assert.equal([...new Set(names)], ['2001:db8:0:0::/64'])
  assert.is.not(clientOf('', '2001:db8:0:1::1'), names[0])
  assert.is(clientOf('', '::1'), null)
  assert.is(clientOf('', 'fe80::1%eth0'), 'fe80:0:0:0::/64')
})

gate.run()
proxies.run()
