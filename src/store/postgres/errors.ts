import { errorChainText } from '../../core/error-text.ts'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'

/** Error codes by SQLSTATE, and by the code of Node's socket errors. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  '25006': 'database_read_only',
  '25P03': 'database_unreachable',
  '25P04': 'database_unreachable',
  '28000': 'database_auth_failed',
  '28P01': 'database_auth_failed',
  '3D000': 'database_not_found',
  '3F000': 'database_replaced',
  '42P01': 'database_replaced',
  '42501': 'database_access_refused',
  '40001': 'storage_busy',
  '40P01': 'storage_busy',
  '55006': 'storage_busy',
  '55P03': 'storage_busy',
  '53100': 'database_full',
  '53300': 'database_too_many_connections',
  '57P01': 'database_unreachable',
  '57P02': 'database_unreachable',
  '57P03': 'database_unreachable',
  '57P05': 'database_unreachable',
  XX001: 'database_corrupt',
  XX002: 'database_corrupt',
  ECONNREFUSED: 'database_unreachable',
  ECONNRESET: 'database_unreachable',
  EHOSTUNREACH: 'database_unreachable',
  ENETUNREACH: 'database_unreachable',
  ENOTFOUND: 'database_unreachable',
  EAI_AGAIN: 'database_unreachable',
  ENOENT: 'database_unreachable',
  EPIPE: 'database_unreachable',
  ETIMEDOUT: 'database_unreachable',
}

/** Error codes by message, for errors of the driver, which have no code. */
const DRIVER_MESSAGES: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /^Connection terminated|^timeout expired|^This socket has been ended|not queryable|^no response within/,
    'database_unreachable',
  ],
  [/^SASL: /, 'database_auth_failed'],
  [/does not support SSL|establishing an SSL connection/, 'database_tls_failed'],
]

const LOST_HINT =
  'The tables were removed or replaced. Restore a backup if you need the old messages, then restart the gateway.'

const HINTS: Partial<Record<ErrorCode, string>> = {
  database_replaced: LOST_HINT,
  database_corrupt:
    'PostgreSQL has found damaged data. Check its log and its disk, then restore a backup. If only an index is damaged, REINDEX rebuilds it.',
}

const tlsCode = (code: string): boolean =>
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|HOSTNAME_MISMATCH|ERR_(TLS|SSL|OSSL)_|EPROTO|INVALID_(CA|PURPOSE)$)/.test(
    code,
  )

/** Returns the SQLSTATE of a PostgreSQL error, or Node's code of a socket error; empty if there is none. */
export const errorCode = (error: unknown): string => {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** Returns whether the server reported the error. */
export const isSqlState = (error: unknown): boolean =>
  /^[0-9A-Z]{5}$/.test(errorCode(error)) && getSeverity(error) !== null

/** Returns whether the server closes the connection after this error. */
export const isFatal = (error: unknown): boolean => /^(FATAL|PANIC)$/.test(getSeverity(error) ?? '')

const getSeverity = (error: unknown): string | null => (error as { severity?: string } | null)?.severity ?? null

const toErrorCode = (code: string, text: string): ErrorCode => {
  const mapped = CODES[code]
  if (mapped !== undefined) return mapped
  if (code.startsWith('08')) return 'database_unreachable'
  if (tlsCode(code)) return 'database_tls_failed'
  return DRIVER_MESSAGES.find(([pattern]) => pattern.test(text))?.[1] ?? 'storage_unavailable'
}

/** Converts an error of PostgreSQL, its driver or the network to an error of the catalogue. */
export const postgresError = (error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  const code = errorCode(error)
  const text = errorChainText(error)
  const name = toErrorCode(code, text)
  const message = isSqlState(error) ? `${text} (SQLSTATE ${code})` : text
  const hint = HINTS[name]
  return new GatewayError(name, message, { cause: error, ...(hint !== undefined && { hint }) })
}

const TRANSIENT: readonly ErrorCode[] = ['database_unreachable', 'database_read_only', 'database_old_timeline']

/**
 * Returns whether an error can pass without a change of the configuration: a lost connection, a standby that is being promoted, and the
 * SQLSTATE classes of rollbacks (40), resources (53), locks (55), intervention by an operator (57) and the system (58).
 */
export const isTransient = ({ code, cause }: GatewayError): boolean =>
  TRANSIENT.includes(code) || /^(40|53|55|57|58)/.test(errorCode(cause))

/** Creates the error for commits that wait for a synchronous standby, or did not. */
export const standbyUnavailable = (message: string): GatewayError =>
  new GatewayError('database_standby_unavailable', message)

/** Returns whether a server did not respond in time, so that its other connections are probably dead too. */
export const isSilence = (error: unknown): error is GatewayError =>
  error instanceof GatewayError &&
  error.code === 'database_unreachable' &&
  /no response within|timeout expired/.test(error.message)

/** Creates the error for a store that is no longer there. */
export const storeReplaced = (where: string): GatewayError =>
  new GatewayError('database_replaced', `The store at ${where} was removed or replaced.`, { hint: LOST_HINT })

/** Returns whether an error is caused by one row (its values or size), not by the store. */
export const isRowError = (error: unknown): boolean =>
  error instanceof UnsupportedValueError || /^(22|23|54)/.test(errorCode(error))

/** A value that cannot be represented in PostgreSQL. */
export class UnsupportedValueError extends Error {}
