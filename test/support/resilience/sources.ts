import { setTimeout as sleep } from 'node:timers/promises'
import { Publisher } from '../../../src/publisher/index.ts'
import { PikaPublisher } from '../clients/pika.ts'
import { limit, within } from '../harness/limits.ts'
import { postJson, until } from '../harness/wait.ts'
import type { Gateway } from '../servers/gateway.ts'
import { KEY, messagesUrl } from '../stages/stage.ts'
import type { Confirmed } from './oracle.ts'

/** Every twentieth message of an agent that can send any bytes is invalid. */
const INVALID_EVERY = 20

type Message = { readonly event_id: string; readonly message_id: string; readonly n: number }

export type Sender = {
  /** The event of all its messages. */
  readonly event_id: string
  /** True if it can send bodies that are not JSON. */
  readonly sendsInvalid: boolean
  /** Resolves with the number of copies sent once the message is confirmed, and rejects if that is not known. */
  send(message: Message, invalid: boolean): Promise<number>
  close(): Promise<unknown>
}

/** A publisher that sends each message until it is confirmed, and only then the next one. */
export class Source {
  readonly confirmed: Confirmed[] = []
  readonly invalid: Confirmed[] = []
  readonly #sender: Sender
  readonly #everyMs: number
  /** Returns what happens at present, for the report of a loss. */
  readonly #during: () => string
  #stopping = false
  #running: Promise<void> | null = null
  #sent = 0
  #lastError: unknown

  constructor(sender: Sender, { everyMs, during }: Pick<SourceOptions, 'everyMs' | 'during'>) {
    this.#sender = sender
    this.#everyMs = everyMs
    this.#during = during
  }

  get event_id(): string {
    return this.#sender.event_id
  }

  /** Number of confirmed messages, invalid ones included. */
  get count(): number {
    return this.confirmed.length + this.invalid.length
  }

  /** Why the last message was not confirmed at once. */
  get lastError(): unknown {
    return this.#lastError
  }

  /** Starts, or goes on after `stop`. */
  start(): this {
    this.#stopping = false
    this.#running ??= this.#run()
    return this
  }

  /** Resolves when the message under way is confirmed. @throws Error if it never is */
  async stop(): Promise<void> {
    this.#stopping = true
    const what = `the last confirmation of ${this.event_id} (${this.#lastError})`
    if (this.#running) await within(this.#running, what)
    this.#running = null
  }

  async close(): Promise<void> {
    await this.#sender.close()
  }

  async #run(): Promise<void> {
    const { event_id, sendsInvalid } = this.#sender
    while (!this.#stopping) {
      const n = ++this.#sent
      const message = { event_id, message_id: `${event_id}-${n}`, n }
      const invalid = sendsInvalid && n % INVALID_EVERY === 0
      const sends = await this.#untilConfirmed(message, invalid)
      const confirmed = { event_id, message_id: message.message_id, sends, during: this.#during() }
      if (invalid) this.invalid.push(confirmed)
      else this.confirmed.push(confirmed)
      await sleep(this.#everyMs)
    }
  }

  /** @returns the number of copies that were sent */
  async #untilConfirmed(message: Message, invalid: boolean): Promise<number> {
    for (let before = 0; ; before++) {
      try {
        return before + (await this.#sender.send(message, invalid))
      } catch (error) {
        // It may have arrived.
        this.#lastError = error
      }
      await sleep(50)
    }
  }
}

/** Resolves when each publisher has had another confirmation. */
export const nextConfirmations = async (sources: readonly Source[]): Promise<void> => {
  const before = sources.map(({ count }) => count)
  const behind = (): Source[] => sources.filter(({ count }, index) => count <= before[index]!)
  await until(() => behind().length === 0, {
    what: 'each publisher goes on',
    saw: () => behind().map(({ event_id, lastError }) => `${event_id}: ${lastError}`),
  })
}

export type SourceOptions = {
  readonly brokerUrl: string
  readonly exchange: string
  readonly gateway: Pick<Gateway, 'url'>
  /** Headers of requests to the gateway. */
  readonly headers?: Record<string, string>
  readonly everyMs: number
  readonly during: () => string
}

const CONTENT = '内容'.repeat(20)

/** DeepSOC's client, which can send any bytes. */
const pikaSender = ({ brokerUrl: url, exchange }: SourceOptions): Sender => {
  const pika = new PikaPublisher({ url, exchange, mandatory: true, retry: true })
  return {
    event_id: 'pika',
    sendsInvalid: true,
    async send(message, invalid) {
      const text = JSON.stringify({ ...message, message_content: CONTENT })
      return (await pika.publish({ key: KEY, body: invalid ? text.slice(0, -1) : text })).attempts
    },
    close: () => pika.kill9(),
  }
}

/** The agents' library. */
const librarySender = ({ brokerUrl: url, exchange }: SourceOptions): Sender => {
  const publisher = new Publisher({ url, exchange, sendTimeoutMs: limit(5_000) })
  return {
    event_id: 'library',
    sendsInvalid: false,
    async send(message) {
      await publisher.send({ ...message, message_content: CONTENT })
      return 1
    },
    close: () => publisher.close({ timeoutMs: 1 }),
  }
}

const httpSender = ({ gateway, headers = {} }: SourceOptions): Sender => ({
  event_id: 'http',
  sendsInvalid: false,
  async send(message) {
    const body = { ...message, message_content: CONTENT }
    const answer = postJson(messagesUrl(gateway, 'http'), body, { headers, timeoutMs: limit(5_000) })
    const { status, text } = await answer
    if (status !== 202) throw new Error(`${status} ${text}`)
    return 1
  },
  close: async () => undefined,
})

/** One publisher of each kind, each of an event of its own. */
export const openSources = (options: SourceOptions): Source[] =>
  [pikaSender, librarySender, httpSender].map((open) => new Source(open(options), options))
