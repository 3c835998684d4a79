import { gatewayPath } from '../base-path.ts'
import { reasonCodeText } from './connection-messages.ts'
import { errorHint, errorTitle } from './error-messages-zh.ts'
import { askForToken, onAccepted } from './session.ts'

/** An error response of the gateway, or no response (`status` 0, code `unreachable`). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly hint: string
  /** The parsed response, for fields other than code, message and hint; empty if it is not a JSON object. */
  readonly body: Readonly<Record<string, unknown>>

  constructor(status: number, body: Readonly<Record<string, unknown>>) {
    super(toText(body.message) || `HTTP ${status}`)
    this.name = 'ApiError'
    this.status = status
    this.code = toText(body.code)
    this.hint = toText(body.hint)
    this.body = body
  }
}

/** Returns whether a request was answered with 401 or 403: it would be refused again without another token. */
export const isDenied = (error: unknown): boolean =>
  error instanceof ApiError && (error.status === 401 || error.status === 403)

const toText = (value: unknown): string => (typeof value === 'string' ? value : '')

/** A server type as it is serialized: times in milliseconds become ISO 8601 strings. */
export type Answered<T, Times extends keyof T> = Omit<T, Times> & { readonly [Time in Times]: string }

interface ApiOptions {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  /** Sent as JSON; a string is sent unchanged. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

const send = async (path: string, { method = 'GET', body, headers, signal }: ApiOptions): Promise<Response> => {
  const type = body === undefined ? {} : { 'Content-Type': 'application/json' }
  const sent = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  try {
    return await fetch(gatewayPath(path), {
      method,
      headers: { ...type, ...headers },
      ...(sent === undefined ? {} : { body: sent }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, { code: 'unreachable', message: error instanceof Error ? error.message : String(error) })
  }
}

/**
 * Returns the body of a successful response as text, for data that JSON.parse would round.
 *
 * @throws ApiError; on 401 the page also shows the sign-in form
 * @throws DOMException AbortError if the signal aborts
 */
export const apiText = async (path: string, options: ApiOptions = {}): Promise<string> => {
  const answer = await send(path, options)
  const text = await answer.text()
  if (answer.ok) {
    onAccepted()
    return text
  }
  const error = new ApiError(answer.status, parsed(text))
  if (answer.status === 401) askForToken(errorTitle(error.code) || error.message)
  throw error
}

/** Returns the parsed body of a successful response: `data` and other members. Throws like {@link apiText}. */
export const api = async <T>(path: string, options: ApiOptions = {}): Promise<T> =>
  JSON.parse(await apiText(path, options)) as T

const parsed = (text: string): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** Formats status, code, message and hint of an error as one line, in the language of the page. */
export const errorText = (error: unknown): string => {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error)
  const { status, code, message, hint } = error
  if (status === 0) return [code, reasonCodeText(code)].join(' · ')
  const parts = [`${status} ${code}`.trim(), errorTitle(code) || message, errorHint(code, hint)]
  return parts.filter(Boolean).join(' · ')
}
