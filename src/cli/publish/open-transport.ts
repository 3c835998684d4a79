import { loadConfig } from '../../config/config.ts'
import type { PublishTarget } from '../gateway-client.ts'
import { HttpSink } from './http-transport.ts'
import type { OnResult, PublishTransport } from './transport.ts'

export interface TransportOptions extends PublishTarget {
  /** Retry period of one message while broker or gateway is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly onFate: OnResult
  readonly signal: AbortSignal
}

/** @throws GatewayError config_invalid */
export const openTransport = async ({ url, token, ...wish }: TransportOptions): Promise<PublishTransport> => {
  if (url !== null) return new HttpSink({ url, token, ...wish })
  const { broker, maxMessageBytes } = loadConfig()
  if (broker === null) throw new Error('there is neither an address nor a broker')
  // Imported on demand, since HTTP does not need the broker library.
  const { BrokerSink } = await import('./broker-transport.ts')
  return new BrokerSink({ broker, maxMessageBytes, ...wish })
}
