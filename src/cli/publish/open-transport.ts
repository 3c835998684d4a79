import { loadConfig } from '../../config/config.ts'
import type { PublishTarget } from '../gateway-client.ts'
import { HttpSink } from './http-transport.ts'
import type { OnResult, PublishTransport } from './transport.ts'

export interface TransportOptions extends PublishTarget {
  /** How long one message is tried while the way is shut, in milliseconds. */
  readonly patienceMs: number
  readonly onFate: OnResult
  readonly signal: AbortSignal
}

/** @throws GatewayError config_invalid */
export const openTransport = async ({ url, token, ...wish }: TransportOptions): Promise<PublishTransport> => {
  if (url !== null) return new HttpSink({ url, token, ...wish })
  const { broker, maxMessageBytes } = loadConfig()
  if (broker === null) throw new Error('there is neither an address nor a broker')
  // Its library is loaded where it is used: HTTP needs none of it.
  const { BrokerSink } = await import('./broker-transport.ts')
  return new BrokerSink({ broker, maxMessageBytes, ...wish })
}
