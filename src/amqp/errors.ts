import { errorChainText } from '../core/error-text.ts'

/** Codes of errors of RabbitMQ and of the connection to it. The gateway and the publisher library map them to their own codes. */
export type BrokerErrorCode =
  | 'amqp_client_incompatible'
  | 'broker_unreachable'
  | 'broker_auth_failed'
  | 'broker_vhost_missing'
  | 'broker_access_refused'
  | 'broker_certificate_untrusted'
  | 'broker_certificate_name'
  | 'broker_client_certificate'
  | 'broker_tls_failed'
  | 'broker_precondition_failed'
  | 'broker_ack_timeout'
  /** There is no exchange or queue of this name. */
  | 'broker_name_missing'
  | 'broker_error'
  | 'publish_nacked'
  | 'publish_unroutable'

/** An error of the broker or of the connection to it. `cause` is the error of rabbitmq-client, the socket or OpenSSL. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: BrokerErrorCode

  constructor(code: BrokerErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }
}

/** Error codes by the codes of rabbitmq-client, which include those of AMQP, and of the socket. */
const CODES: Record<string, BrokerErrorCode> = {
  RESOURCE_LOCKED: 'broker_precondition_failed',
  ACCESS_REFUSED: 'broker_access_refused',
  NOT_FOUND: 'broker_name_missing',
  NACK: 'publish_nacked',
  CONNECTION_TIMEOUT: 'broker_unreachable',
  CONN_CLOSE: 'broker_unreachable',
  CONNECTION_FORCED: 'broker_unreachable',
  SOCKET_TIMEOUT: 'broker_unreachable',
  READ_END: 'broker_unreachable',
  TIMEOUT: 'broker_unreachable',
  ECONNREFUSED: 'broker_unreachable',
  ECONNRESET: 'broker_unreachable',
  EHOSTUNREACH: 'broker_unreachable',
  ENETUNREACH: 'broker_unreachable',
  ENOTFOUND: 'broker_unreachable',
  EAI_AGAIN: 'broker_unreachable',
  EPIPE: 'broker_unreachable',
  ETIMEDOUT: 'broker_unreachable',
}

/** Maps PRECONDITION_FAILED by its text, since RabbitMQ has one code for unlike faults. */
const preconditionCode = (text: string): BrokerErrorCode => {
  if (/acknowledgement.*timed out/i.test(text)) return 'broker_ack_timeout'
  return /inequivalent arg/i.test(text) ? 'broker_precondition_failed' : 'broker_error'
}

/** RabbitMQ 3.8 to 4.x: "message size 134217729 [is] larger than [configured] max size 134217728". */
const BROKER_MESSAGE_LIMIT = /message size \d+ (?:is )?larger than (?:configured )?max size (\d+)/

/** Returns the limit in bytes if RabbitMQ has closed the channel for a message above max_message_size; null for other errors. */
export const brokerMessageLimit = ({ message }: BrokerError): number | null => {
  const match = BROKER_MESSAGE_LIMIT.exec(message)
  return match === null ? null : Number(match[1])
}

/** Maps the codes of OpenSSL and Node for a failed handshake. */
const tlsCode = (code: string, text: string): BrokerErrorCode | null => {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH') return 'broker_certificate_name'
  if (
    /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|CRL_|INVALID_(CA|PURPOSE)$|ERROR_IN_CERT_|PATH_LENGTH_)/.test(code)
  ) {
    return 'broker_certificate_untrusted'
  }
  // Alerts of the broker about the client's certificate. Up to TLS 1.2 there is no separate alert for a missing one.
  if (/ALERT_(CERTIFICATE_|BAD_CERT|UNSUPPORTED_CERT|UNKNOWN_CA|NO_CERT|HANDSHAKE_FAILURE)/.test(code)) {
    return 'broker_client_certificate'
  }
  // An alert that arrives during a pending write has the code EPROTO, regardless of its kind.
  if (code === 'EPROTO' && /alert (certificate|bad cert|unsupported cert|unknown ca|handshake failure)/i.test(text)) {
    return 'broker_client_certificate'
  }
  return code === 'EPROTO' || /^ERR_(SSL|TLS|OSSL)_/.test(code) ? 'broker_tls_failed' : null
}

/**
 * Converts an error of rabbitmq-client or the socket to a BrokerError.
 *
 * @param wasOpen whether the connection was open: a refusal before that concerns the login
 */
export const toBrokerError = (error: unknown, wasOpen: boolean): BrokerError => {
  if (error instanceof BrokerError) return error
  const code = String((error as { code?: unknown } | null)?.code ?? '')
  // rabbitmq-client names the method that failed, which RabbitMQ does not always name.
  const text = errorChainText(error).replace(/^undefined: /, '')
  const loginErrorCode = wasOpen ? null : loginCode(code, text)
  if (code === 'PRECONDITION_FAILED') return new BrokerError(preconditionCode(text), text, { cause: error })
  return new BrokerError(loginErrorCode ?? CODES[code] ?? tlsCode(code, text) ?? 'broker_error', text, { cause: error })
}

const loginCode = (code: string, text: string): BrokerErrorCode | null => {
  if (code === 'ACCESS_REFUSED') return 'broker_auth_failed'
  if (code !== 'NOT_ALLOWED') return null
  // RabbitMQ has one code for both; only its text distinguishes a missing vhost from a forbidden one.
  return /not found/i.test(text) ? 'broker_vhost_missing' : 'broker_access_refused'
}
