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

/** Faults that no waiting mends: without an outbox, what was not sent yet is refused at once. */
export const isLasting = ({ code }: PublishError): boolean =>
  code === 'broker_login_refused' ||
  code === 'broker_vhost_missing' ||
  code === 'broker_access_refused' ||
  code === 'exchange_missing'

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
  return new PublishError(CODES[code] ?? 'broker_error', text, { cause: error })
}
