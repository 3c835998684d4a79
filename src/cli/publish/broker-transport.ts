import type { Config } from '../../config/config.ts'
import { noop } from '../../core/noop.ts'
import { PublishError, Publisher } from '../../publisher/index.ts'
import {
  type LineResult,
  MAX_IN_FLIGHT,
  type OnResult,
  type OutgoingLine,
  type PublishTransport,
  serializeMessage,
} from './transport.ts'

export interface BrokerTransportOptions {
  readonly broker: NonNullable<Config['broker']>
  readonly maxMessageBytes: number
  /** Timeout of one message while the broker is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly onResult: OnResult
}

const toAmqpUrl = ({ hosts, tls, username, password, vhost }: BrokerTransportOptions['broker']['address']): string => {
  const [user, pass, host] = [username, password, vhost].map(encodeURIComponent)
  const names = hosts.map(({ hostname, port }) => `${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`)
  return `amqp${tls ? 's' : ''}://${user}:${pass}@${names.join(',')}/${host}`
}

/** Error codes of a single message; all others mean that the broker cannot be used. */
const MESSAGE_ERRORS = new Set(['invalid_message', 'message_too_large', 'publish_nacked'])

const toFailure = (error: unknown): LineResult => {
  if (!(error instanceof PublishError)) throw error
  const { code, message, hint } = error
  return { kind: 'failed', code, text: message, hint, isTransportError: !MESSAGE_ERRORS.has(code) }
}

interface PendingLine {
  readonly line: OutgoingLine
  readonly result: Promise<LineResult>
}

/** Publishes through the broker with the Publisher library: confirmed, mandatory, in order. */
export class BrokerTransport implements PublishTransport {
  readonly #publisher: Publisher
  readonly #onResult: OnResult
  readonly #inFlight: PendingLine[] = []
  #bytes = 0
  #reporting: Promise<void> | null = null
  #drained = Promise.withResolvers<void>()

  /** Connects immediately. */
  constructor({ broker, maxMessageBytes, timeoutMs, onResult }: BrokerTransportOptions) {
    this.#onResult = onResult
    this.#publisher = new Publisher({
      url: toAmqpUrl(broker.address),
      caFile: broker.address.tls?.caFile ?? undefined,
      certFile: broker.address.tls?.certFile ?? undefined,
      keyFile: broker.address.tls?.keyFile ?? undefined,
      exchange: broker.topology.exchange,
      maxMessageBytes,
      maxQueued: MAX_IN_FLIGHT.messages * 2,
      sendTimeoutMs: Math.max(1, Math.round(timeoutMs)),
    })
  }

  async send(line: OutgoingLine): Promise<void> {
    const { body, event_id } = line.message
    const result = this.#publisher
      .sendText(serializeMessage(line.message), { event_id })
      .then((): LineResult => ({ kind: 'published' }), toFailure)
    // Awaited later, in order; without a handler, an earlier rejection would be unhandled.
    result.catch(noop)
    this.#inFlight.push({ line, result })
    this.#bytes += body.length
    this.#reporting ??= this.#reportResults()
    if (this.#inFlight.length >= MAX_IN_FLIGHT.messages || this.#bytes >= MAX_IN_FLIGHT.bytes)
      await this.#drained.promise
  }

  async finish(): Promise<void> {
    while (this.#reporting !== null) await this.#reporting
  }

  async close(): Promise<void> {
    await this.#publisher.close({ timeoutMs: 1 })
    await this.finish()
  }

  async #reportResults(): Promise<void> {
    for (let at = 0; at < this.#inFlight.length; at++) {
      const { line, result } = this.#inFlight[at]!
      await this.#onResult(line, await result)
      this.#bytes -= line.message.body.length
      // Removed in batches: a shift per message would move the whole array each time.
      if (at < 255 && at < this.#inFlight.length - 1) continue
      this.#inFlight.splice(0, at + 1)
      at = -1
      this.#drained.resolve()
      this.#drained = Promise.withResolvers()
    }
    this.#reporting = null
  }
}
