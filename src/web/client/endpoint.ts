import { parseRejection, RejectedError, type Rejection } from './errors.ts'
import type { ClientPlatform } from './platform.ts'
import type { ChannelOptions } from './types.ts'

/** Raised when the status of a channel changes: tabs of two versions must not share a connection during an upgrade. */
const SHARE_VERSION = 2
/** Request timeout in milliseconds. */
const ASK_MS = 15_000
/** Attempts with the same token: it can be refused for clock skew, so one 401 is not permanent. */
const MAX_REFUSALS = 4

/** Address of a stream and authentication for it. */
export class StreamEndpoint {
  readonly #url: URL
  readonly #options: ChannelOptions
  readonly #world: ClientPlatform
  /** True if streams are opened with one-use tickets. */
  readonly #ticketed: boolean
  /** A ticket from the caller's address, used once. */
  #ticket: string | null
  #token = ''
  /** Number of times that this token was refused. */
  #refusals = 0

  /** @param target the address of a stream, or the ids of its events */
  constructor(target: string | URL | readonly string[], options: ChannelOptions, world: ClientPlatform) {
    const named = typeof target === 'string' || target instanceof URL
    const here = globalThis.location?.href
    this.#url = new URL(named ? target : '/api/stream', named ? here : (options.base ?? here))
    const query = this.#url.searchParams
    if (!named) for (const id of target) query.append('event_id', id)
    this.#ticket = query.get('ticket')
    query.delete('ticket')
    if (options.lastMessageDbId === 'latest') setCursor(this.#url, 'latest')
    this.#options = options
    this.#world = world
    this.#ticketed = Boolean(this.#ticket ?? options.token ?? options.fetchOptions)
  }

  /** Name shared by all tabs that can use one connection; null if sharing is not allowed. */
  get sharedName(): string | null {
    const { identity } = this.#options
    const query = this.#url.searchParams
    // Only the gateway can tell which events a token allows, and `*` gives each client the events of its own token.
    if (identity === undefined && (this.#ticketed || query.get('event_id') === '*')) return null
    const url = this.#at(0)
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
    const url = this.#at(cursor)
    if (this.#ticketed) url.searchParams.set('ticket', this.#ticket ?? (await this.#buyTicket()))
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
    const answer = await this.#ask(this.#at(cursor), 'GET')
    if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) return this.#refusal(answer)
    void answer.body?.cancel()
    return null
  }

  /** Allows a refused token to be sent again. */
  resetAuthFailures(): void {
    this.#refusals = 0
  }

  async #buyTicket(): Promise<string> {
    const url = new URL(this.#url)
    url.pathname = url.pathname.replace(/\/(events\/[^/]*\/)?stream$/, '/stream-tickets')
    url.search = ''
    const answer = await this.#ask(url, 'POST')
    if (answer.status !== 201) throw new RejectedError(await this.#refusal(answer))
    return (await answer.json()).data.ticket
  }

  async #ask(url: URL, method: string): Promise<Response> {
    const { token, fetchOptions, withCredentials } = this.#options
    const headers = new Headers(fetchOptions?.headers)
    if (token) headers.set('authorization', `Bearer ${await this.#askToken(token)}`)
    return this.#world.fetch(url.href, {
      cache: 'no-store',
      ...(withCredentials && { credentials: 'include' }),
      ...fetchOptions,
      method,
      headers,
      signal: AbortSignal.timeout(ASK_MS),
    })
  }

  async #askToken(token: () => string | Promise<string>): Promise<string> {
    const given = await Promise.resolve()
      .then(token)
      .catch((error) => {
        throw new RejectedError({
          reason: { code: 'token_failed', message: String(error) },
          permanent: false,
          waitMs: 0,
        })
      })
    if (given !== this.#token) this.#refusals = 0
    this.#token = given
    return given
  }

  async #refusal(answer: Response): Promise<Rejection> {
    const refusal = await parseRejection(answer)
    if (answer.status !== 401 || !this.#options.token) return refusal
    return { ...refusal, permanent: ++this.#refusals >= MAX_REFUSALS }
  }

  #at(cursor: number | null): URL {
    const url = new URL(this.#url)
    if (cursor !== null) setCursor(url, String(cursor))
    return url
  }
}

const setCursor = ({ searchParams }: URL, cursor: string): void => {
  searchParams.set('last_message_db_id', cursor)
  // It would take precedence over the cursor.
  searchParams.delete('tail')
}
