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
  readonly signal: AbortSignal
}

/** Error codes of a single message; all others mean that the broker cannot be used. */
const MESSAGE_ERRORS = new Set(['invalid_message', 'message_too_large', 'publish_nacked'])

const toFailure = (error: unknown): LineResult => {
  if (!(error instanceof PublishError)) throw error
  const { code, message, hint } = error
  const failure = { kind: 'failed', code, isTransportError: !MESSAGE_ERRORS.has(code) } as const
  // The advice of the library is for programs.
  if (code !== 'publisher_closed') return { ...failure, text: message, hint }
  return { ...failure, text: 'The command ended before RabbitMQ had confirmed the message.', hint: 'Publish it again.' }
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
  constructor({ broker, maxMessageBytes, timeoutMs, onResult, signal }: BrokerTransportOptions) {
    this.#onResult = onResult
    const limits = { maxQueued: MAX_IN_FLIGHT.messages * 2, sendTimeoutMs: Math.max(1, Math.round(timeoutMs)) }
    // Not as a URL, which cannot name the zone of an IPv6 address.
    const settings = { address: broker.address, exchange: broker.topology.exchange, maxMessageBytes }
    this.#publisher = new Publisher(limits, settings)
    // The messages that wait for a broker fail then, so that the command can report where to go on.
    signal.addEventListener('abort', () => void this.#publisher.close({ timeoutMs: 1 }))
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
