import type { Config } from '../../config/config.ts'
import { appendJsonMembers } from '../../core/json-members.ts'
import { MISSING_MESSAGE_ID } from '../../core/message.ts'
import { noop } from '../../core/noop.ts'
import { PublishError, Publisher } from '../../publisher/index.ts'
import { type LineResult, MAX_IN_FLIGHT, type OnResult, type OutgoingLine, type PublishTransport } from './transport.ts'

export interface BrokerSinkOptions {
  readonly broker: NonNullable<Config['broker']>
  readonly maxMessageBytes: number
  /** Timeout of one message while the broker is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly onFate: OnResult
}

const urlOf = ({ tls, username, password, hostname, port, vhost }: BrokerSinkOptions['broker']['address']): string => {
  const [user, word, host] = [username, password, vhost].map(encodeURIComponent)
  const name = hostname.includes(':') ? `[${hostname}]` : hostname
  return `amqp${tls ? 's' : ''}://${user}:${word}@${name}:${port}/${host}`
}

/** Error codes of a single message; all others mean that the broker cannot be used. */
const OWN_FAULTS = new Set(['invalid_message', 'message_too_large', 'publish_nacked'])

const failed = (error: unknown): LineResult => {
  if (!(error instanceof PublishError)) throw error
  const { code, message, hint } = error
  return { kind: 'failed', code, text: message, hint, wayFault: !OWN_FAULTS.has(code) }
}

interface UnderWay {
  readonly parcel: OutgoingLine
  readonly fate: Promise<LineResult>
}

/** Publishes through the broker with the Publisher library: confirmed, mandatory, in order. */
export class BrokerSink implements PublishTransport {
  readonly #publisher: Publisher
  readonly #onFate: OnResult
  readonly #underWay: UnderWay[] = []
  #bytes = 0
  #working: Promise<void> | null = null
  #room = Promise.withResolvers<void>()

  /** Connects immediately. */
  constructor({ broker, maxMessageBytes, timeoutMs, onFate }: BrokerSinkOptions) {
    this.#onFate = onFate
    this.#publisher = new Publisher({
      url: urlOf(broker.address),
      caFile: broker.address.tls?.caFile ?? undefined,
      certFile: broker.address.tls?.certFile ?? undefined,
      keyFile: broker.address.tls?.keyFile ?? undefined,
      exchange: broker.topology.exchange,
      maxMessageBytes,
      maxQueued: MAX_IN_FLIGHT.messages * 2,
      sendTimeoutMs: Math.max(1, Math.round(timeoutMs)),
    })
  }

  async push(parcel: OutgoingLine): Promise<void> {
    const { body, lacks, event_id, message_id } = parcel.message
    const text =
      lacks & MISSING_MESSAGE_ID ? appendJsonMembers(body, `"message_id":${JSON.stringify(message_id)}`) : body
    const fate = this.#publisher.sendText(text, { event_id }).then((): LineResult => ({ kind: 'published' }), failed)
    // Awaited later, in order; without a handler, an earlier rejection would be unhandled.
    fate.catch(noop)
    this.#underWay.push({ parcel, fate })
    this.#bytes += body.length
    this.#working ??= this.#work()
    if (this.#underWay.length >= MAX_IN_FLIGHT.messages || this.#bytes >= MAX_IN_FLIGHT.bytes) await this.#room.promise
  }

  async finish(): Promise<void> {
    while (this.#working !== null) await this.#working
  }

  async close(): Promise<void> {
    await this.#publisher.close({ timeoutMs: 1 })
    await this.finish()
  }

  async #work(): Promise<void> {
    for (let at = 0; at < this.#underWay.length; at++) {
      const { parcel, fate } = this.#underWay[at]!
      await this.#onFate(parcel, await fate)
      this.#bytes -= parcel.message.body.length
      // Removed in batches: a shift per message would move the whole array each time.
      if (at < 255 && at < this.#underWay.length - 1) continue
      this.#underWay.splice(0, at + 1)
      at = -1
      this.#room.resolve()
      this.#room = Promise.withResolvers()
    }
    this.#working = null
  }
}
