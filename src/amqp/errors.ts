import { errorChainText } from '../core/error-text.ts'
import { type ErrorCode, GatewayError } from '../core/errors.ts'

/** rabbitmq-client's codes, and those of the socket, in the words of the catalogue. */
const CODES: Record<string, ErrorCode> = {
  PRECONDITION_FAILED: 'broker_declaration_conflict',
  RESOURCE_LOCKED: 'broker_declaration_conflict',
  ACCESS_REFUSED: 'broker_access_refused',
  NACK: 'publish_nacked',
  CONNECTION_TIMEOUT: 'broker_unreachable',
  CONN_CLOSE: 'broker_unreachable',
  CONNECTION_FORCED: 'broker_unreachable',
  SOCKET_TIMEOUT: 'broker_unreachable',
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

/** What a handshake came to, by OpenSSL's and Node's codes. */
const tlsCode = (code: string, text: string): ErrorCode | null => {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH') return 'broker_certificate_name'
  if (
    /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|CRL_|INVALID_(CA|PURPOSE)$|ERROR_IN_CERT_|PATH_LENGTH_)/.test(code)
  ) {
    return 'broker_certificate_untrusted'
  }
  // What the broker says of ours. Up to TLS 1.2 a missing certificate has no alert of its own.
  if (/ALERT_(CERTIFICATE_|BAD_CERT|UNSUPPORTED_CERT|UNKNOWN_CA|NO_CERT|HANDSHAKE_FAILURE)/.test(code)) {
    return 'broker_client_certificate'
  }
  // What meets a write that is under way comes without a code of its own.
  if (code === 'EPROTO' && /alert (certificate|bad cert|unsupported cert|unknown ca|handshake failure)/i.test(text)) {
    return 'broker_client_certificate'
  }
  return code === 'EPROTO' || /^ERR_(SSL|TLS|OSSL)_/.test(code) ? 'broker_tls_failed' : null
}

/**
 * Names what the broker, or the way to it, has reported.
 *
 * @param wasOpen whether the connection stood: a refusal before that is about the login
 */
export const toBrokerError = (error: unknown, wasOpen: boolean): GatewayError => {
  if (error instanceof GatewayError) return error
  const code = String((error as { code?: unknown } | null)?.code ?? '')
  const text = errorChainText(error)
  if (code === 'ACCESS_REFUSED' && !wasOpen) return new GatewayError('broker_login_refused', text, { cause: error })
  if (code === 'NOT_ALLOWED' && !wasOpen) {
    // RabbitMQ has one code for both; its text tells a missing vhost from a forbidden one.
    const missing = /not found/i.test(text)
    return new GatewayError(missing ? 'broker_vhost_missing' : 'broker_access_refused', text, { cause: error })
  }
  return new GatewayError(CODES[code] ?? tlsCode(code, text) ?? 'broker_error', text, { cause: error })
}
