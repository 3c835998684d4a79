import { loadConfig, readGatewayAddress } from '../config/config.ts'
import { redactUrl } from '../config/redact.ts'
import { untrustedCertificateCode } from '../core/error-text.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../core/errors.ts'
import { type Flag, type ParsedArgs, UsageError } from './command.ts'
import { noToken, openTokenSource, type TokenSource } from './token/source.ts'

export const URL_FLAG: Flag = {
  value: 'URL',
  description: 'address of the gateway (default: that of HOST and PORT)',
}

/** Returns the address of the gateway without a trailing slash. @throws UsageError, GatewayError config_invalid */
export const resolveGatewayUrl = (args: ParsedArgs): string => {
  const text = args.text('url')
  if (text !== undefined) {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
      throw new UsageError(
        `--url must be an http:// or https:// address without a query, not ${JSON.stringify(redactUrl(text))}.`,
      )
    }
    if (url.username !== '' || url.password !== '') {
      throw new UsageError('--url must not contain a user or password; to authenticate, use --token-file.')
    }
    return url.href.replace(/\/+$/, '')
  }
  const address = readGatewayAddress()
  if (address.port === 0) throw new UsageError('PORT is 0, so the address of the gateway is unknown; use --url.')
  return gatewayUrl(address, address.port)
}

interface GatewayAddress {
  readonly host: string
  readonly basePath: string
  /** null for plain HTTP. */
  readonly tls: unknown
}

/** Returns the address of a local gateway with this configuration that listens on a port. */
export const gatewayUrl = ({ host, tls, basePath }: GatewayAddress, port: number): string =>
  `http${tls === null ? '' : 's'}://${toReachableHost(host)}:${port}${basePath}`

/** Destination of published messages. */
export interface PublishTarget {
  /** Address of the gateway; null to publish through the configured broker. */
  readonly url: string | null
  readonly token: TokenSource
}

/**
 * Resolves to HTTP if `--url` is set, else to the broker if one is configured, else to HTTP at HOST and PORT.
 *
 * @throws UsageError, GatewayError config_invalid
 */
export const resolvePublishTarget = async (args: ParsedArgs): Promise<PublishTarget> => {
  if (args.text('url') !== undefined || loadConfig().broker === null) {
    return { url: resolveGatewayUrl(args), token: await openTokenSource(args) }
  }
  refuseTokenFile(args)
  return { url: null, token: noToken }
}

/** Rejects `--token-file` with a broker, since RabbitMQ takes no token. @throws UsageError */
export const refuseTokenFile = (args: ParsedArgs): void => {
  if (args.text('token-file') === undefined) return
  throw new UsageError('--token-file requires HTTP, but RABBITMQ_URL or RABBITMQ_HOST is set')
}

/** Returns the loopback address of a gateway that listens on all addresses. */
const toReachableHost = (host: string): string => {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/**
 * Sends a request with the current token.
 *
 * @returns a response with a 2xx status
 * @throws ResponseError for any other status, GatewayError gateway_unreachable, and the errors of the token source
 */
export const authorizedRequest = async (
  url: string,
  init: RequestInit & { headers: Readonly<Record<string, string>>; signal: AbortSignal },
  token: TokenSource,
): Promise<Response> => {
  const sentToken = await token()
  const authorization = sentToken === null ? {} : { authorization: `Bearer ${sentToken}` }
  const response = await request(url, { ...init, headers: { ...init.headers, ...authorization } })
  if (response.ok) return response
  const body = await readErrorBody(response)
  // A token file that cannot be read is being rewritten, so it counts as renewed.
  const renewed = response.status === 401 && (await token().catch(() => undefined)) !== sentToken
  throw new ResponseError(response, body, renewed)
}

/** Longer than a search of a large store takes, in milliseconds. */
const ANSWER_TIMEOUT_MS = 60_000

/** Requests JSON. @returns null if the answer is not JSON. @throws as authorizedRequest, also if the answer takes too long */
export const requestJson = async (url: string, token: TokenSource, stopping: AbortSignal): Promise<unknown> => {
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(ANSWER_TIMEOUT_MS)])
  try {
    const response = await authorizedRequest(url, { headers: {}, signal }, token)
    return await response.json()
  } catch (error) {
    if (error instanceof SyntaxError) return null
    if (stopping.aborted || error instanceof GatewayError) throw error
    throw toUnreachableError(url, error)
  }
}

/** @throws GatewayError gateway_unreachable, or the reason of an aborted signal */
export const request = async (url: string, init: RequestInit & { signal: AbortSignal }): Promise<Response> => {
  try {
    return await fetch(url, init)
  } catch (cause) {
    init.signal.throwIfAborted()
    throw toUnreachableError(url, cause)
  }
}

export const toUnreachableError = (url: string, cause: unknown): GatewayError => {
  const { origin } = new URL(url)
  const code = untrustedCertificateCode(cause)
  if (code === undefined) return new GatewayError('gateway_unreachable', `${origin} does not respond.`, { cause })
  return new GatewayError('gateway_unreachable', `The certificate of ${origin} is not trusted: ${code}.`, {
    cause,
    hint: 'Set NODE_EXTRA_CA_CERTS to the certificate of its authority, and use a host name that the certificate covers.',
  })
}

const TOKEN_HINT =
  'Set a token with --token-file FILE, GATEWAY_TOKEN_FILE or GATEWAY_TOKEN, and check that it has not expired. `deepsoc-gateway token` signs one for testing.'

/** A response of the gateway with an error status. */
export class ResponseError extends GatewayError {
  readonly httpStatus: number
  /** Seconds of the Retry-After header; null if it is missing. */
  readonly retryAfter: number | null
  readonly body: Readonly<Record<string, unknown>>
  readonly #renewed: boolean

  /** @param renewed the token source has another token than the one that was refused */
  constructor(response: Response, body: Readonly<Record<string, unknown>>, renewed: boolean) {
    const isKnown = typeof body.code === 'string' && Object.hasOwn(ERRORS, body.code)
    const code = isKnown ? (body.code as ErrorCode) : 'unexpected_response'
    const text = typeof body.message === 'string' ? body.message : `Status ${response.status} without an error code.`
    const hint = response.status === 401 ? TOKEN_HINT : body.hint
    super(code, text, typeof hint === 'string' ? { hint } : {})
    this.httpStatus = response.status
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    this.retryAfter = Number.isFinite(seconds) ? seconds : null
    this.body = body
    this.#renewed = renewed
  }

  /** Whether the same request can succeed later. */
  get isTransient(): boolean {
    return this.#renewed || this.httpStatus >= 500 || this.httpStatus === 408 || this.httpStatus === 429
  }
}

/** Returns the body of an error response; empty if it is not a JSON object. */
export const readErrorBody = async (response: Response): Promise<Record<string, unknown>> => {
  try {
    const body: unknown = JSON.parse(await response.text())
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  } catch {
    // An HTML page of a proxy, or a truncated response: the status is enough.
    return {}
  }
}
