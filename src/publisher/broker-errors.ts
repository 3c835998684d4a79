import type { BrokerError } from '../amqp/errors.ts'
import { PublishError, type PublishErrorCode, type PublishErrorOptions } from './errors.ts'

/** Converts a broker error to the library's error type and codes. */
export const toPublishError = (error: BrokerError, options: PublishErrorOptions = {}): PublishError =>
  new PublishError(publishCode(error.code), error.message, { cause: error.cause, ...options })

const publishCode = (code: BrokerError['code']): PublishErrorCode => {
  // The exchange is the only broker object that the library names, and it declares none.
  if (code === 'broker_name_missing') return 'exchange_missing'
  // The library declares nothing and consumes nothing.
  return code === 'broker_precondition_failed' || code === 'broker_ack_timeout' ? 'broker_error' : code
}

const PERMANENT: ReadonlySet<PublishErrorCode> = new Set([
  'broker_auth_failed',
  'broker_vhost_missing',
  'broker_access_refused',
  'broker_certificate_untrusted',
  'broker_certificate_name',
  'broker_client_certificate',
  'exchange_missing',
])

/** True for errors that waiting does not fix. Without an outbox, unsent messages are then rejected immediately. */
export const isPermanent = ({ code }: PublishError): boolean => PERMANENT.has(code)
