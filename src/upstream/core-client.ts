import { randomUUID } from 'node:crypto'
import { type EdgeState, EdgeStateSchema, PRUNED_PAGE, PrunedBoundsSchema } from '../core/edge-state.ts'
import { errorChainText, untrustedCertificateCode } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import type { PrunedBound } from '../store/store-copy.ts'

/** Timeout of a request until its answer begins, in milliseconds. */
const RESPONSE_TIMEOUT_MS = 10_000

/** Address of the core, and what the edge may read there. */
export interface UpstreamAddress {
  /** Base URL without a slash at its end. */
  readonly url: string
  readonly events: readonly string[] | '*'
  /** Returns the token; read for each request, so that a renewed file is used. null if there is none. */
  readonly token: () => string | null
}

/** What an edge reads from its core. All methods throw GatewayError upstream_*. */
export interface CoreConnection {
  /** Opens the stream of the messages after a cursor. */
  stream(after: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>
  /** @param revocations the version of the revocations that the edge has */
  state(after: number, revocations: string, signal: AbortSignal): Promise<EdgeState>
  /** Returns the next bounds, by event_id; an empty page at the end. */
  pruned(after: string, signal: AbortSignal): Promise<PrunedBound[]>
}

/** Converts an error of a connection to the core. */
export const toUpstreamError = (url: string, cause: unknown): GatewayError => {
  if (cause instanceof GatewayError) return cause
  const { origin } = new URL(url)
  const code = untrustedCertificateCode(cause)
  return code === undefined
    ? new GatewayError('upstream_unreachable', `${origin} does not respond: ${errorChainText(cause)}`, {
        cause,
        retryAfterMs: 5_000,
      })
    : new GatewayError('upstream_certificate_untrusted', `The certificate of ${origin} is not trusted: ${code}.`, {
        cause,
      })
}

/** Reads the core over HTTP. */
export class CoreClient implements CoreConnection {
  /** Identifies this edge while it runs. */
  readonly #id = randomUUID()
  /** The edges between this one and the first core, as last known. */
  #followed: readonly string[] = []
  readonly #address: UpstreamAddress
  readonly #events: URLSearchParams

  constructor(address: UpstreamAddress) {
    this.#address = address
    const { events } = address
    this.#events = new URLSearchParams((events === '*' ? ['*'] : events).map((event) => ['event_id', event]))
  }

  /** This edge, and those that it follows. */
  get edges(): readonly string[] {
    return [this.#id, ...this.#followed]
  }

  async stream(after: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const headers = { accept: 'text/event-stream', 'last-event-id': String(after) }
    // Without an id the stream starts at the beginning, also if messages were deleted there.
    const response = await this.#get('/api/stream', {}, signal, after === 0 ? { accept: headers.accept } : headers)
    if (response.headers.get('content-type')?.startsWith('text/event-stream') && response.body !== null) {
      return response.body as ReadableStream<Uint8Array>
    }
    throw this.#incompatible('did not answer with a stream')
  }

  async state(after: number, revocations: string, signal: AbortSignal): Promise<EdgeState> {
    const query = { after: String(after), revocations }
    const result = EdgeStateSchema.safeParse(await this.#json('/api/edge', query, signal))
    if (!result.success) throw this.#incompatible('answered GET /api/edge in an unknown form')
    const { edges = [] } = result.data
    this.#followed = edges.filter((id) => id !== this.#id)
    if (this.#followed.length === edges.length) return result.data
    const { origin } = new URL(this.#address.url)
    throw new GatewayError('upstream_cycle', `${origin} follows this gateway, or is this gateway.`)
  }

  async pruned(after: string, signal: AbortSignal): Promise<PrunedBound[]> {
    const query = { after, limit: String(PRUNED_PAGE) }
    const result = PrunedBoundsSchema.safeParse(await this.#json('/api/edge/pruned', query, signal))
    if (result.success) return result.data
    throw this.#incompatible('answered GET /api/edge/pruned in an unknown form')
  }

  async #json(path: string, query: Record<string, string>, signal: AbortSignal): Promise<unknown> {
    const response = await this.#get(path, query, signal, { accept: 'application/json' })
    try {
      return ((await response.json()) as { data?: unknown } | null)?.data
    } catch (cause) {
      if (cause instanceof SyntaxError) throw this.#incompatible(`answered GET ${path} without JSON`)
      throw toUpstreamError(this.#address.url, cause)
    }
  }

  async #get(
    path: string,
    query: Record<string, string>,
    signal: AbortSignal,
    headers: Record<string, string>,
  ): Promise<Response> {
    const { url } = this.#address
    const token = this.#address.token()
    const search = new URLSearchParams([...this.#events, ...Object.entries(query)])
    const authorization: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
    const timeout = new AbortController()
    const timer = setTimeout(
      () => timeout.abort(new Error(`no answer within ${RESPONSE_TIMEOUT_MS / 1_000} s`)),
      RESPONSE_TIMEOUT_MS,
    )
    let response: Response
    try {
      response = await fetch(`${url}${path}?${search}`, {
        headers: { ...headers, ...authorization },
        redirect: 'manual',
        signal: AbortSignal.any([signal, timeout.signal]),
      })
    } catch (cause) {
      throw toUpstreamError(url, cause)
    } finally {
      clearTimeout(timer)
    }
    if (response.ok) return response
    throw await this.#refusal(response, path)
  }

  async #refusal(response: Response, path: string): Promise<GatewayError> {
    const { origin } = new URL(this.#address.url)
    const { status } = response
    const body = (await response.json().catch(() => null)) as { code?: unknown; message?: unknown } | null
    const text = typeof body?.code === 'string' ? `${status} ${body.code}: ${String(body.message)}` : String(status)
    if (status === 401 || status === 403) {
      return new GatewayError('upstream_refused', `${origin} refuses this edge (${text})`)
    }
    if (status === 404 || status === 405 || (status >= 300 && status < 500 && status !== 408 && status !== 429)) {
      return this.#incompatible(`answered GET ${path} with ${text}`)
    }
    return new GatewayError('upstream_unreachable', `${origin} answered ${text}`, { retryAfterMs: 5_000 })
  }

  #incompatible(reason: string): GatewayError {
    return new GatewayError('upstream_incompatible', `${new URL(this.#address.url).origin} ${reason}.`)
  }
}
