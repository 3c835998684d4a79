import { ERRORS, type ErrorCode, GatewayError } from '../errors.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]

/** Reasons for which a message is quarantined, or refused by the store over HTTP. */
export const QUARANTINE_REASONS = [
  'body_too_large',
  'unsupported_content_encoding',
  'invalid_content_encoding',
  'invalid_utf8',
  'invalid_json',
  'not_an_object',
  'invalid_event_id',
  'invalid_message_id',
  'invalid_message_from',
  'invalid_message_type',
  'invalid_round_id',
  'message_conflict',
  'message_unstorable',
  'internal',
] as const satisfies readonly ErrorCode[]

export type QuarantineReason = (typeof QUARANTINE_REASONS)[number]

/** Codes of requests that are denied by authorization or by a limit. */
export const DENIED_CODES: ReadonlySet<ErrorCode> = new Set(
  CODES.filter((code) => [401, 403, 429].includes(ERRORS[code].status) || code === 'overloaded'),
)

/** Codes with which a component can fail while the gateway runs. */
export const COMPONENT_FAILURE_CODES: readonly ErrorCode[] = CODES.filter((code) =>
  /^(storage_|database_|broker_|upstream_|(jwks_unavailable|worker_unresponsive|too_many_connections|too_many_open_files|internal)$)/.test(
    code,
  ),
)

/** Returns whether an error of the store means that the database is damaged: the same read fails again. */
export const isDamage = (error: unknown): error is GatewayError =>
  error instanceof GatewayError && error.code === 'database_corrupt'
