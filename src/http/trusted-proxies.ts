import { type BlockList, isIP } from 'node:net'
import type { RawRequest } from './request-view.ts'

/** The address of a socket in its one form: an IPv4 address is no IPv6 one. */
const normalizeAddress = (address: string): string =>
  address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '').replace(/%.*$/, '')

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')

/** The first four groups of an IPv6 address: one household or machine has them all. */
const ipv6Prefix = (address: string): string => {
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  const behind = tail === undefined || tail === '' ? [] : tail.split(':')
  const all =
    tail === undefined
      ? groups
      : [...groups, ...Array(Math.max(0, 8 - groups.length - behind.length)).fill('0'), ...behind]
  const network = all.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''))
  return `${network.join(':')}::/64`
}

const header = (request: RawRequest, name: string): string => {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : (value ?? '')
}

/** Who really calls. What a caller says of itself in X-Forwarded-* is heard only from proxies that are trusted. */
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
   * What limits count by: an IPv4 address, or the /64 of an IPv6 one.
   *
   * @returns null for this machine itself
   */
  clientAddress(request: RawRequest): string | null {
    let client = normalizeAddress(request.socket.remoteAddress ?? '')
    const hops = header(request, 'x-forwarded-for').split(',')
    // From the nearest proxy outwards, as far as each one is trusted: what is behind it anybody could have written.
    while (this.trusts(client) && hops.length > 0) {
      const hop = normalizeAddress(hops.pop()!.trim())
      if (isIP(hop) === 0) break
      client = hop
    }
    return keyOf(client)
  }

  /** The same for a socket as such. */
  peerAddress(address: string | undefined): string | null {
    return keyOf(normalizeAddress(address ?? ''))
  }

  /** The host that the caller asked for, with its port; '' where it named none. */
  requestedHost(request: RawRequest): string {
    const forwarded = this.trusts(request.socket.remoteAddress) ? header(request, 'x-forwarded-host').split(',')[0] : ''
    // HTTP/2 has a field of its own, and where both are there, it counts.
    return forwarded?.trim() || header(request, ':authority') || header(request, 'host')
  }
}

const keyOf = (address: string): string | null => {
  if (isLoopback(address)) return null
  return isIP(address) === 6 ? ipv6Prefix(address) : address
}
