import { loadConfig, readEnvironment } from '../../config.ts'
import type { Given } from '../command.ts'
import { gatewayUrl } from '../gateway-client.ts'
import { HttpSink } from './http-sink.ts'
import type { OnFate, Sink } from './sink.ts'

export interface SinkWish {
  /** How long one message is tried while the way is shut, in milliseconds. */
  readonly patienceMs: number
  readonly onFate: OnFate
  readonly signal: AbortSignal
}

/**
 * The way for messages: over HTTP if an address is given, else through the broker if the environment names one, else
 * over HTTP to HOST and PORT.
 *
 * @throws UsageError, GatewayError config_invalid
 */
export const openSink = async (given: Given, wish: SinkWish): Promise<{ sink: Sink; way: string }> => {
  if (given.text('url') === undefined) {
    const { broker, maxMessageBytes } = loadConfig(readEnvironment())
    if (broker !== null) {
      // Its library is loaded where it is used: HTTP needs none of it.
      const { BrokerSink } = await import('./broker-sink.ts')
      const { hostname, port } = broker.address
      return { sink: new BrokerSink({ broker, maxMessageBytes, ...wish }), way: `RabbitMQ at ${hostname}:${port}` }
    }
  }
  const url = gatewayUrl(given)
  return { sink: new HttpSink({ url, ...wish }), way: `the gateway at ${url}` }
}
