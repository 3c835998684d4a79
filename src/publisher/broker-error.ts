import { describeError, PublishError, type PublishErrorCode } from './errors.ts'

/** rabbitmq-client's codes, and those of the socket, in the words of the catalogue. */
const CODES: Record<string, PublishErrorCode> = {
  ACCESS_REFUSED: 'broker_access_refused',
  NOT_FOUND: 'exchange_missing',
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

/** What a handshake came to, by OpenSSL's and Node's codes. */
const tlsCode = (code: string, text: string): PublishErrorCode | null => {
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

const PERMANENT: ReadonlySet<PublishErrorCode> = new Set([
  'broker_login_refused',
  'broker_vhost_missing',
  'broker_access_refused',
  'broker_certificate_untrusted',
  'broker_certificate_name',
  'broker_client_certificate',
  'exchange_missing',
])

/** Faults that no waiting mends: without an outbox, what was not sent yet is refused at once. */
export const isPermanent = ({ code }: PublishError): boolean => PERMANENT.has(code)

/**
 * Names what the broker, or the way to it, has reported.
 *
 * @param opened whether the connection stood: a refusal before that is about the login
 */
export const brokerError = (error: unknown, opened: boolean): PublishError => {
  if (error instanceof PublishError) return error
  const code = String((error as { code?: unknown } | null)?.code ?? '')
  const text = describeError(error)
  if (code === 'ACCESS_REFUSED' && !opened) return new PublishError('broker_login_refused', text, { cause: error })
  if (code === 'NOT_ALLOWED' && !opened) {
    // RabbitMQ has one code for both; its text tells a missing vhost from a forbidden one.
    const missing = /not found/i.test(text)
    return new PublishError(missing ? 'broker_vhost_missing' : 'broker_access_refused', text, { cause: error })
  }
  return new PublishError(CODES[code] ?? tlsCode(code, text) ?? 'broker_error', text, { cause: error })
}
