import { type Config, loadConfig } from '../config/config.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../core/errors.ts'
import { type Flag, type ParsedArgs, UsageError } from './command.ts'
import { noToken, openTokenSource, type TokenSource } from './token/source.ts'

export const URL_FLAG: Flag = {
  value: 'URL',
  meaning: 'address of the gateway; if absent: that of HOST and PORT',
}

/** The address of the gateway without a slash at its end. @throws UsageError, GatewayError config_invalid */
export const resolveGatewayUrl = (given: ParsedArgs): string => {
  const text = given.text('url')
  if (text !== undefined) {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
      throw new UsageError(
        `--url must be an http:// or https:// address without a query, not ${JSON.stringify(shownUrl(text))}.`,
      )
    }
    if (url.username !== '' || url.password !== '') {
      throw new UsageError('--url must have no user and password: a gateway asks for a token, see --token-file.')
    }
    return url.href.replace(/\/+$/, '')
  }
  const config = loadConfig()
  if (config.port === 0) throw new UsageError('PORT is 0, which says no address. Give the gateway with --url.')
  return gatewayUrl(config, config.port)
}

/** Without what may be a secret. */
const shownUrl = (text: string): string => text.replace(/[?#].*$/s, '?…').replace(/^(\w*:?\/*).*@/s, '$1…@')

/** The address at which this machine reaches a gateway of this configuration that listens on a port. */
export const gatewayUrl = ({ host, tls }: Pick<Config, 'host' | 'tls'>, port: number): string =>
  `http${tls === null ? '' : 's'}://${reachable(host)}:${port}`

/** Where to publish. */
export interface PublishTarget {
  /** The gateway's address; null: through the broker of the environment. */
  readonly url: string | null
  /** What to show to the gateway. */
  readonly token: TokenSource
}

/**
 * Over HTTP if an address is given, else through the broker if the environment names one, else over HTTP to HOST and
 * PORT.
 *
 * @throws UsageError, GatewayError config_invalid
 */
export const resolvePublishTarget = async (given: ParsedArgs): Promise<PublishTarget> => {
  if (given.text('url') !== undefined || loadConfig().broker === null) {
    return { url: resolveGatewayUrl(given), token: await openTokenSource(given) }
  }
  refuseTokenFile(given)
  return { url: null, token: noToken }
}

/** RabbitMQ is shown no token: who gives one means HTTP. @throws UsageError */
export const refuseTokenFile = (given: ParsedArgs): void => {
  if (given.text('token-file') === undefined) return
  throw new UsageError('--token-file is for HTTP, but the environment names a broker: RABBITMQ_URL or RABBITMQ_HOST')
}

/** Where a gateway that listens on all addresses is found from this machine. */
const reachable = (host: string): string => {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/**
 * Asks with the token of the moment, the one place that says who calls.
 *
 * @returns an answer of success
 * @throws Refused for any other, GatewayError gateway_unreachable and what the token's source throws
 */
export const authorizedRequest = async (
  url: string,
  init: RequestInit & { headers: Readonly<Record<string, string>>; signal: AbortSignal },
  token: TokenSource,
): Promise<Response> => {
  const shown = await token()
  const authorization = shown === null ? {} : { authorization: `Bearer ${shown}` }
  const response = await request(url, { ...init, headers: { ...init.headers, ...authorization } })
  if (response.ok) return response
  const body = await readErrorBody(response)
  // One that cannot be read is just being written.
  const renewed = response.status === 401 && (await token().catch(() => undefined)) !== shown
  throw new ResponseError(response, body, renewed)
}

/** @throws GatewayError gateway_unreachable; whatever an aborted signal's reason is */
export const request = async (url: string, init: RequestInit & { signal: AbortSignal }): Promise<Response> => {
  try {
    return await fetch(url, init)
  } catch (cause) {
    init.signal.throwIfAborted()
    throw unreachable(url, cause)
  }
}

/** What OpenSSL and Node call a certificate that they do not accept. */
const CERTIFICATE_FAULT = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|INVALID_CA$|INVALID_PURPOSE$)/

export const unreachable = (url: string, cause: unknown): GatewayError => {
  const { origin } = new URL(url)
  const { code = '' } = ((cause as Error | undefined)?.cause ?? {}) as { code?: string }
  if (!CERTIFICATE_FAULT.test(code))
    return new GatewayError('gateway_unreachable', `${origin} does not answer.`, { cause })
  return new GatewayError('gateway_unreachable', `The certificate of ${origin} is not accepted: ${code}.`, {
    cause,
    hint: 'Set NODE_EXTRA_CA_CERTS to the file of the authority that signed it, and use a name that it is for.',
  })
}

const TOKEN_HINT =
  'Set a token with --token-file FILE, GATEWAY_TOKEN_FILE or GATEWAY_TOKEN, and check that it has not expired. `deepsoc-gateway token` signs one for testing.'

/** What a gateway answers that it does not do. */
export class ResponseError extends GatewayError {
  readonly httpStatus: number
  /** Seconds to wait before the next try, where the gateway says so. */
  readonly retryAfter: number | null
  readonly body: Readonly<Record<string, unknown>>
  readonly #renewed: boolean

  /** @param renewed the token that was refused is not the one to show any more */
  constructor(response: Response, body: Readonly<Record<string, unknown>>, renewed: boolean) {
    const known = typeof body.code === 'string' && Object.hasOwn(ERRORS, body.code)
    const code = known ? (body.code as ErrorCode) : 'unexpected_response'
    const text = typeof body.message === 'string' ? body.message : `Status ${response.status} without an error code.`
    const hint = response.status === 401 ? TOKEN_HINT : body.hint
    super(code, text, typeof hint === 'string' ? { hint } : {})
    this.httpStatus = response.status
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    this.retryAfter = Number.isFinite(seconds) ? seconds : null
    this.body = body
    this.#renewed = renewed
  }

  /** The same request may succeed later. */
  get passing(): boolean {
    return this.#renewed || this.httpStatus >= 500 || this.httpStatus === 408 || this.httpStatus === 429
  }
}

/** What an answer says that is no success; empty where that is no JSON object. */
export const readErrorBody = async (response: Response): Promise<Record<string, unknown>> => {
  try {
    const body: unknown = JSON.parse(await response.text())
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  } catch {
    // A proxy's page of HTML, or an answer that broke off: the status says enough.
    return {}
  }
}
