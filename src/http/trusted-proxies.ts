import { type BlockList, isIP } from 'node:net'
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

/** Determines the real client of a request. X-Forwarded-* headers are only used if they come from trusted proxies. */
export class TrustedProxies {
  readonly #trusted: BlockList
  readonly #trustsAny: boolean

  constructor(trusted: BlockList) {
    this.#trusted = trusted
    this.#trustsAny = trusted.rules.length > 0
  }

  trusts(address: string | undefined): boolean {
    if (!this.#trustsAny) return false
    const family = isIP(normalizeAddress(address ?? ''))
    return family !== 0 && this.#trusted.check(normalizeAddress(address!), family === 4 ? 'ipv4' : 'ipv6')
  }

  /**
   * Returns the address that limits count by: an IPv4 address, or the /64 of an IPv6 one.
   *
   * @returns null for loopback
   */
  clientAddress(request: RawRequest): string | null {
    let client = normalizeAddress(request.socket.remoteAddress ?? '')
    const hops = header(request, 'x-forwarded-for').split(',')
    // From the nearest proxy outwards, as long as each one is trusted: anybody could have written the entries beyond.
    while (this.trusts(client) && hops.length > 0) {
      const hop = normalizeAddress(hops.pop()!.trim())
      if (isIP(hop) === 0) break
      client = hop
    }
    return toQuotaKey(client)
  }

  /** Returns the same for the address of a socket. */
  peerAddress(address: string | undefined): string | null {
    return toQuotaKey(normalizeAddress(address ?? ''))
  }

  /** Returns the requested host with its port; '' if the request has none. */
  requestedHost(request: RawRequest): string {
    const forwarded = this.trusts(request.socket.remoteAddress) ? header(request, 'x-forwarded-host').split(',')[0] : ''
    // HTTP/2 has its own field, which takes precedence if both are present.
    return forwarded?.trim() || header(request, ':authority') || header(request, 'host')
  }
}

const toQuotaKey = (address: string): string | null => {
  if (isLoopback(address)) return null
  return isIP(address) === 6 ? ipv6Prefix(address) : address
}
