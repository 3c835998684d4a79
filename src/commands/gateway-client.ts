import { type Config, loadConfig, readEnvironment } from '../config.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../message/errors.ts'
import { type Flag, type Given, UsageError } from './command.ts'

export const URL_FLAG: Flag = {
  value: 'URL',
  meaning: 'address of the gateway; if absent: that of HOST and PORT',
}

/** The address of the gateway without a slash at its end. @throws UsageError, GatewayError config_invalid */
export const gatewayUrl = (given: Given): string => {
  const text = given.text('url')
  if (text !== undefined) {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
      throw new UsageError(`--url must be an http:// or https:// address, not ${JSON.stringify(text)}.`)
    }
    return url.href.replace(/\/+$/, '')
  }
  const config = loadConfig(readEnvironment())
  if (config.port === 0) throw new UsageError('PORT is 0, which says no address. Give the gateway with --url.')
  return addressOf(config, config.port)
}

/** The address at which this machine reaches a gateway of this configuration that listens on a port. */
export const addressOf = ({ host, tls }: Pick<Config, 'host' | 'tls'>, port: number): string =>
  `http${tls === null ? '' : 's'}://${reachable(host)}:${port}`

/**
 * Where to publish: over HTTP if an address is given, else through the broker if the environment names one (null), else
 * over HTTP to HOST and PORT.
 *
 * @throws UsageError, GatewayError config_invalid
 */
export const publishUrl = (given: Given): string | null =>
  given.text('url') === undefined && loadConfig(readEnvironment()).broker !== null ? null : gatewayUrl(given)

/** Where a gateway that listens on all addresses is found from this machine. */
const reachable = (host: string): string => {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/** The headers of every request to a gateway: the one place for what says who calls. */
export const requestHeaders = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({ ...more })

/** @throws GatewayError no_gateway; whatever an aborted signal's reason is */
export const request = async (url: string, init: RequestInit & { signal: AbortSignal }): Promise<Response> => {
  try {
    return await fetch(url, init)
  } catch (cause) {
    init.signal.throwIfAborted()
    throw unreachable(url, cause)
  }
}

export const unreachable = (url: string, cause: unknown): GatewayError =>
  new GatewayError('no_gateway', `${new URL(url).origin} does not answer.`, { cause })

/** What a gateway answers that it does not do. */
export class Refused extends GatewayError {
  readonly httpStatus: number
  /** Seconds to wait before the next try, where the gateway says so. */
  readonly retryAfter: number | null
  readonly body: Readonly<Record<string, unknown>>

  constructor(response: Response, body: Record<string, unknown>) {
    const known = typeof body.code === 'string' && Object.hasOwn(ERRORS, body.code)
    const code = known ? (body.code as ErrorCode) : 'not_a_gateway'
    const text = typeof body.message === 'string' ? body.message : `Status ${response.status} without an error code.`
    super(code, text, typeof body.hint === 'string' ? { hint: body.hint } : {})
    this.httpStatus = response.status
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    this.retryAfter = Number.isFinite(seconds) ? seconds : null
    this.body = body
  }

  /** The same request may succeed later. */
  get passing(): boolean {
    return this.httpStatus >= 500 || this.httpStatus === 408 || this.httpStatus === 429
  }
}

/** Reads an answer that is no success. */
export const refusalOf = async (response: Response): Promise<Refused> => {
  let body: unknown
  try {
    body = JSON.parse(await response.text())
  } catch {
    // A proxy's page of HTML, or an answer that broke off: the status says enough.
    body = {}
  }
  return new Refused(response, typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {})
}
