import { describeError, type ErrorCode, GatewayError } from '../message/errors.ts'

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

/**
 * Names what the broker, or the way to it, has reported.
 *
 * @param opened whether the connection stood: a refusal before that is about the login
 */
export const brokerError = (error: unknown, opened: boolean): GatewayError => {
  if (error instanceof GatewayError) return error
  const code = String((error as { code?: unknown } | null)?.code ?? '')
  const text = describeError(error)
  if (code === 'ACCESS_REFUSED' && !opened) return new GatewayError('broker_login_refused', text, { cause: error })
  if (code === 'NOT_ALLOWED' && !opened) {
    // RabbitMQ has one code for both; its text tells a missing vhost from a forbidden one.
    const missing = /not found/i.test(text)
    return new GatewayError(missing ? 'broker_vhost_missing' : 'broker_access_refused', text, { cause: error })
  }
  return new GatewayError(CODES[code] ?? 'broker_error', text, { cause: error })
}
