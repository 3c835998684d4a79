import { parseRejection, RejectedError, type Rejection } from './errors.ts'
import type { ClientPlatform } from './platform.ts'
import type { ChannelOptions } from './types.ts'

/** Raised when the status of a channel changes: tabs of two versions must not share a connection during an upgrade. */
const SHARE_VERSION = 2
/** Request timeout in milliseconds. */
const REQUEST_TIMEOUT_MS = 15_000
/** Attempts with the same token: it can be refused for clock skew, so one 401 is not permanent. */
const MAX_REJECTIONS = 4

/** A gateway with a BASE_PATH declares it in front of its `/client.js`. */
declare const GATEWAY_BASE: string | undefined
/** Address of the gateway for an array of event ids. */
const DEFAULT_BASE = typeof GATEWAY_BASE === 'string' ? GATEWAY_BASE : '/'

/** Address of a stream and authentication for it. */
export class StreamEndpoint {
  readonly #url: URL
  readonly #options: ChannelOptions
  readonly #platform: ClientPlatform
  /** True if streams are opened with one-use tickets. */
  readonly #usesTickets: boolean
  /** A ticket from the caller's address, used once. */
  #ticket: string | null
  #token = ''
  /** Number of times that this token was refused. */
  #rejections = 0

  /** @param target the address of a stream, or the ids of its events */
  constructor(target: string | URL | readonly string[], options: ChannelOptions, platform: ClientPlatform) {
    const isAddress = typeof target === 'string' || target instanceof URL
    this.#url = isAddress ? new URL(target, globalThis.location?.href) : toStreamUrl(options.base ?? DEFAULT_BASE)
    const query = this.#url.searchParams
    if (!isAddress) for (const id of target) query.append('event_id', id)
    this.#ticket = query.get('ticket')
    query.delete('ticket')
    if (options.lastMessageDbId === 'latest') setCursor(this.#url, 'latest')
    this.#options = options
    this.#platform = platform
    this.#usesTickets = Boolean(this.#ticket ?? options.token ?? options.fetchOptions)
  }

  /** Name shared by all tabs that can use one connection; null if sharing is not allowed. */
  get sharedName(): string | null {
    const { identity } = this.#options
    const query = this.#url.searchParams
    // Only the gateway can tell which events a token allows, and `*` gives each client the events of its own token.
    if (identity === undefined && (this.#usesTickets || query.get('event_id') === '*')) return null
    const url = this.#buildUrl(0)
    url.searchParams.sort()
    return `deepsoc-gateway ${JSON.stringify([SHARE_VERSION, identity, url])}`
  }

  /**
   * Returns an address that EventSource can open once.
   *
   * @param cursor null to begin where the address says
   * @throws RejectedError if a ticket is refused, TypeError if the gateway is unreachable
   */
  async open(cursor: number | null): Promise<string> {
    const url = this.#buildUrl(cursor)
    if (this.#usesTickets) url.searchParams.set('ticket', this.#ticket ?? (await this.#buyTicket()))
    this.#ticket = null
    return url.href
  }

  /**
   * Repeats the request with fetch, since EventSource does not expose the reason of a refusal.
   *
   * @returns null if the request is no longer refused
   * @throws TypeError if the gateway is unreachable
   */
  async probeRejection(cursor: number | null): Promise<Rejection | null> {
    const response = await this.#request(this.#buildUrl(cursor), 'GET')
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return this.#toRejection(response)
    void response.body?.cancel()
    return null
  }

  /** Allows a refused token to be sent again. */
  resetAuthFailures(): void {
    this.#rejections = 0
  }

  async #buyTicket(): Promise<string> {
    const url = new URL(this.#url)
    url.pathname = url.pathname.replace(/\/(events\/[^/]*\/)?stream$/, '/stream-tickets')
    url.search = ''
    const response = await this.#request(url, 'POST')
    if (response.status !== 201) throw new RejectedError(await this.#toRejection(response))
    return (await response.json()).data.ticket
  }

  async #request(url: URL, method: string): Promise<Response> {
    const { token, fetchOptions, withCredentials } = this.#options
    const headers = new Headers(fetchOptions?.headers)
    if (token) headers.set('authorization', `Bearer ${await this.#requestToken(token)}`)
    return this.#platform.fetch(url.href, {
      cache: 'no-store',
      ...(withCredentials && { credentials: 'include' }),
      ...fetchOptions,
      method,
      headers,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    })
  }

  async #requestToken(getToken: () => string | Promise<string>): Promise<string> {
    const token = await Promise.resolve()
      .then(getToken)
      .catch((error) => {
        throw new RejectedError({
          reason: { code: 'token_failed', message: String(error) },
          permanent: false,
          waitMs: 0,
        })
      })
    if (token !== this.#token) this.#rejections = 0
    this.#token = token
    return token
  }

  async #toRejection(response: Response): Promise<Rejection> {
    const rejection = await parseRejection(response)
    if (response.status !== 401 || !this.#options.token) return rejection
    return { ...rejection, permanent: ++this.#rejections >= MAX_REJECTIONS }
  }

  #buildUrl(cursor: number | null): URL {
    const url = new URL(this.#url)
    if (cursor !== null) setCursor(url, String(cursor))
    return url
  }
}

/** Returns the stream of a gateway, whose address can have a path if it is behind a proxy. */
const toStreamUrl = (base: string | URL): URL => {
  const url = new URL(base, globalThis.location?.href)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/api/stream`
  url.search = url.hash = ''
  return url
}

const setCursor = ({ searchParams }: URL, cursor: string): void => {
  searchParams.set('last_message_db_id', cursor)
  // It would take precedence over the cursor.
  searchParams.delete('tail')
}
