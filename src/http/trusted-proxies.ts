import { type BlockList, isIP } from 'node:net'
import { noop } from '../core/noop.ts'
import type { RawRequest } from './request-view.ts'

/** Normalizes the address of a socket: IPv4 addresses mapped to IPv6 become plain IPv4. */
const normalizeAddress = (address: string): string =>
  address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '').replace(/%.*$/, '')

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')

/** Returns the first four groups of an IPv6 address, which one household or machine controls entirely. */
const ipv6Prefix = (address: string): string => {
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  const suffix = tail === undefined || tail === '' ? [] : tail.split(':')
  const all =
    tail === undefined
      ? groups
      : [...groups, ...Array(Math.max(0, 8 - groups.length - suffix.length)).fill('0'), ...suffix]
  const network = all.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''))
  return `${network.join(':')}::/64`
}

const header = (request: RawRequest, name: string): string => {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : (value ?? '')
}

/** What a proxy reports about a request. Unknown parts are ''. */
interface Hop {
  /** The peer of the proxy. */
  readonly address: string
  readonly host: string
  readonly port: string
  readonly proto: string
}

const DIRECT: Hop = { address: '', host: '', port: '', proto: '' }

const X_FORWARDED = ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port'] as const

const hasXForwarded = ({ headers }: RawRequest): boolean => X_FORWARDED.some((name) => headers[name] !== undefined)

/** True if the request comes from a proxy, or claims to. */
const isForwarded = (request: RawRequest): boolean => request.headers.forwarded !== undefined || hasXForwarded(request)

/** Parses `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, also in quotes. @returns '' for anything else */
const parseAddress = (text: string): string => {
  const bare = text.trim().replace(/^"(.*)"$/, '$1')
  const withPort = /^\[([^\]]*)\](?::\d+)?$/.exec(bare) ?? /^([\d.]+):\d+$/.exec(bare)
  const address = normalizeAddress(withPort?.[1] ?? bare)
  return isIP(address) === 0 ? '' : address
}

const unquote = (text: string | undefined): string => text?.replaceAll('"', '') ?? ''

/** Parses Forwarded (RFC 7239). Addresses and hosts need no escapes in their quotes, so none are supported. */
const parseForwarded = (text: string): Hop[] =>
  (text.match(/(?:"[^"]*"|[^",])+/g) ?? []).map((element) => {
    const pairs = element.matchAll(/(?<![a-z])([a-z]+)=("[^"]*"|[^\s;"]*)/gi)
    const values = new Map([...pairs].map(([, name = '', value]) => [name.toLowerCase(), unquote(value)]))
    const [host = '', proto = ''] = [values.get('host'), values.get('proto')]
    return { address: parseAddress(values.get('for') ?? ''), host, port: '', proto }
  })

/** Returns the hops of a request, the nearest proxy last. Forwarded is only read if there is no X-Forwarded-*. */
const parseHops = (request: RawRequest): Hop[] => {
  if (!hasXForwarded(request)) return parseForwarded(header(request, 'forwarded'))
  const [host = '', port = '', proto = ''] = ['host', 'port', 'proto'].map((name) =>
    header(request, `x-forwarded-${name}`).split(',')[0]!.trim(),
  )
  return header(request, 'x-forwarded-for')
    .split(',')
    .map((entry) => ({ address: parseAddress(entry), host, port, proto }))
}

const getHost = (request: RawRequest, { host }: Hop): string =>
  // HTTP/2 has its own field, which takes precedence if both are present.
  (host || header(request, ':authority') || header(request, 'host')).toLowerCase()

const isEncrypted = (request: RawRequest, { proto }: Hop): boolean =>
  'encrypted' in request.socket || proto.toLowerCase() === 'https'

/** Characters that would change the meaning of `https://${host}`. */
const UNSAFE_HOST = /[\s/?#@\\]/

/** Determines the real client of a request. X-Forwarded-* and Forwarded are only used if they come from trusted proxies. */
export class TrustedProxies {
  readonly #trusted: BlockList
  readonly #trustsAny: boolean
  readonly #onUntrusted: (address: string, isLoopback: boolean) => void
  #hasReported = false

  /** @param onUntrusted called once, with the address of the first peer that forwards requests without being trusted */
  constructor(trusted: BlockList, onUntrusted: (address: string, isLoopback: boolean) => void = noop) {
    this.#trusted = trusted
    this.#trustsAny = trusted.rules.length > 0
    this.#onUntrusted = onUntrusted
  }

  trusts(address: string | undefined): boolean {
    if (!this.#trustsAny) return false
    const family = isIP(normalizeAddress(address ?? ''))
    return family !== 0 && this.#trusted.check(normalizeAddress(address!), family === 4 ? 'ipv4' : 'ipv6')
  }

  /** True if the request was forwarded by a proxy that is not trusted, so that what the proxy reports is not used. */
  isFromUntrustedProxy(request: RawRequest): boolean {
    return isForwarded(request) && !this.trusts(request.socket.remoteAddress)
  }

  /**
   * Returns the address that limits count by: an IPv4 address, or the /64 of an IPv6 one.
   *
   * @returns null for loopback
   */
  clientAddress(request: RawRequest): string | null {
    if (!this.#hasReported && this.isFromUntrustedProxy(request)) {
      this.#hasReported = true
      const address = normalizeAddress(request.socket.remoteAddress ?? '')
      this.#onUntrusted(address, isLoopback(address))
    }
    return toQuotaKey(this.#outermost(request).address)
  }

  /** Returns the same for the address of a socket. */
  peerAddress(address: string | undefined): string | null {
    return toQuotaKey(normalizeAddress(address ?? ''))
  }

  /** Returns the requested host in lower case, with its port if the client or a proxy named it; '' if there is none. */
  requestedHost(request: RawRequest): string {
    return getHost(request, this.#outermost(request))
  }

  /** True if the client uses HTTPS, to the gateway itself or to a trusted proxy. */
  isHttps(request: RawRequest): boolean {
    return isEncrypted(request, this.#outermost(request))
  }

  /** True if a page with this origin is the gateway's own. */
  isOwnOrigin(request: RawRequest, origin: string): boolean {
    const outermost = this.#outermost(request)
    const { port } = outermost
    const host = getHost(request, outermost)
    if (origin === '' || host === '' || UNSAFE_HOST.test(host)) return false
    const hosts = /^\d+$/.test(port) && !/:\d+$/.test(host) ? [host, `${host}:${port}`] : [host]
    // Behind a proxy that terminates TLS, an https page reaches the gateway by plain HTTP. The reverse never occurs.
    const schemes = isEncrypted(request, outermost) ? ['https'] : ['https', 'http']
    return schemes.some((scheme) => hosts.some((name) => URL.parse(`${scheme}://${name}`)?.origin === origin))
  }

  /**
   * Returns the client, and what the outermost trusted proxy reports. From the nearest proxy outwards, as long as each
   * one is trusted: anybody could have written the entries beyond.
   */
  #outermost(request: RawRequest): Hop {
    const peer = normalizeAddress(request.socket.remoteAddress ?? '')
    let result: Hop = { ...DIRECT, address: peer }
    if (!this.trusts(peer) || !isForwarded(request)) return result
    for (const hop of parseHops(request).reverse()) {
      const { address } = result
      result = {
        ...hop,
        address: hop.address || address,
        host: hop.host || result.host,
        proto: hop.proto || result.proto,
      }
      if (hop.address === '' || !this.trusts(hop.address)) break
    }
    return result
  }
}

const toQuotaKey = (address: string): string | null => {
  if (isLoopback(address)) return null
  return isIP(address) === 6 ? ipv6Prefix(address) : address
}
