import { loadConfig } from '../../config/config.ts'
import type { PublishTarget } from '../gateway-client.ts'
import { HttpTransport } from './http-transport.ts'
import type { OnResult, PublishTransport } from './transport.ts'

export interface TransportOptions extends PublishTarget {
  /** Retry period of one message while broker or gateway is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly onResult: OnResult
  readonly signal: AbortSignal
}

/** @throws GatewayError config_invalid */
export const openTransport = async ({ url, token, ...options }: TransportOptions): Promise<PublishTransport> => {
  if (url !== null) return new HttpTransport({ url, token, ...options })
  const { broker, maxMessageBytes } = loadConfig()
  if (broker === null) throw new Error('there is neither an address nor a broker')
  // Imported on demand, since HTTP does not need the broker library.
  const { BrokerTransport } = await import('./broker-transport.ts')
  return new BrokerTransport({ broker, maxMessageBytes, ...options })
}
