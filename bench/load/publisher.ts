/**
 * The agents: messages over HTTP on a few keep-alive connections, or over AMQP. Runs in a process of its own
 * (support/helpers.ts), so that it takes nothing from the readers' clock.
 */
import net from 'node:net'
import { type Channel, Connection } from 'rabbitmq-client'
import { serveCalls } from '../support/remote.ts'
import { messageText } from './message.ts'

export type Destination =
  /** POST to `path`, in which `:event` stands for the event. */
  | { readonly kind: 'http'; readonly port: number; readonly path: string; readonly contentType?: string }
  | { readonly kind: 'amqp'; readonly url: string; readonly exchange: string; readonly queue?: string }

export interface RateOptions {
  readonly to: Destination
  /** Messages a second, all events together. */
  readonly rate: number
  /** Events e0 … of this prefix take turns. */
  readonly prefix: string
  readonly events: number
  /** Bytes of a message. */
  readonly size: number
}

export interface FillOptions extends Omit<RateOptions, 'rate'> {
  readonly messages: number
  /** Messages of one event in one request, as a JSON array; HTTP only. */
  readonly batch?: number
  /** Connections with one request under way each (16); HTTP only. */
  readonly connections?: number
}

export interface RateReport {
  /** Acknowledged. */
  readonly sent: number
  /** Still waiting for an answer, or to be sent, when the stream ended. */
  readonly unsent: number
  readonly failed: number
  readonly seconds: number
}

interface Sender {
  /** Resolves when the message is acknowledged, by the server or by the broker. */
  send(event_id: string, body: string): Promise<void>
  close(): Promise<void>
}

const HTTP_CONNECTIONS = 16
const AMQP_UNCONFIRMED = 1_000

/** One keep-alive connection with one request under way at a time. */
class HttpLine {
  #socket: net.Socket | null = null
  #answer = ''
  #settle: { resolve: () => void; reject: (error: Error) => void } | null = null
  readonly #port: number

  constructor(port: number) {
    this.#port = port
  }

  request(head: string, body: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#answer = ''
      this.#connect().write(head + body)
    })
  }

  close(): void {
    this.#socket?.destroy()
  }

  #connect(): net.Socket {
    if (this.#socket !== null && !this.#socket.destroyed) return this.#socket
    const socket = net.connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => this.#take(chunk))
    socket.on('error', () => undefined)
    socket.once('close', () => this.#done(new Error('the connection closed before the answer')))
    this.#socket = socket
    return socket
  }

  #take(chunk: string): void {
    this.#answer += chunk
    const end = this.#answer.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = Number(/content-length: *(\d+)/i.exec(this.#answer)?.[1] ?? 0)
    if (this.#answer.length < end + 4 + length) return
    const good = /^HTTP\/1\.1 2/.test(this.#answer)
    if (/^connection: *close/im.test(this.#answer.slice(0, end))) this.#socket?.destroy()
    this.#done(good ? null : new Error(this.#answer.slice(0, 300)))
  }

  #done(error: Error | null): void {
    const settle = this.#settle
    this.#settle = null
    if (error === null) settle?.resolve()
    else settle?.reject(error)
  }
}

const httpSender = (to: Destination & { kind: 'http' }, connections: number): Sender => {
  const idle = Array.from({ length: connections }, () => new HttpLine(to.port))
  const waiting: ((line: HttpLine) => void)[] = []
  const take = async (): Promise<HttpLine> => idle.pop() ?? new Promise((resolve) => waiting.push(resolve))
  return {
    async send(event_id, body) {
      const line = await take()
      const head =
        `POST ${to.path.replace(':event', event_id)} HTTP/1.1\r\nHost: 127.0.0.1\r\n` +
        `Content-Type: ${to.contentType ?? 'application/json'}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
      try {
        await line.request(head, body)
      } finally {
        const next = waiting.shift()
        if (next === undefined) idle.push(line)
        else next(line)
      }
    },
    async close() {
      for (const line of idle) line.close()
    },
  }
}

const amqpSender = async (to: Destination & { kind: 'amqp' }): Promise<Sender> => {
  const connection = new Connection({ url: to.url, heartbeat: 10 })
  connection.on('error', () => undefined)
  await connection.onConnect(10_000)
  const channel: Channel = await connection.acquire()
  // Without confirms a quorum queue may lose what is under way when the channel closes.
  await channel.confirmSelect()
  return {
    async send(event_id, body) {
      await channel.basicPublish(
        {
          exchange: to.exchange,
          routingKey: to.queue ?? `notifications.frontend.${event_id}.note`,
          durable: true,
          contentType: 'application/json',
        },
        Buffer.from(body),
      )
    },
    async close() {
      await channel.close()
      await connection.close()
    },
  }
}

const senderFor = async (to: Destination, connections = HTTP_CONNECTIONS): Promise<Sender> =>
  to.kind === 'http' ? httpSender(to, connections) : amqpSender(to)

const fill = async (options: FillOptions): Promise<void> => {
  const { to, messages, batch = 1, events, prefix, size, connections = HTTP_CONNECTIONS } = options
  const sender = await senderFor(to, connections)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < messages) {
      const event = `${prefix}${Math.floor(next / batch) % events}`
      const many = Math.min(batch, messages - next)
      const texts = Array.from({ length: many }, (_, index) => messageText(event, next + index, size))
      next += many
      await sender.send(event, batch === 1 ? texts[0]! : `[${texts.join(',')}]`)
    }
  }
  try {
    await Promise.all(Array.from({ length: to.kind === 'http' ? connections : AMQP_UNCONFIRMED }, worker))
  } finally {
    await sender.close()
  }
}

/** Above this many unanswered messages a stream waits: the peer is saturated, and the shortfall is reported. */
const MOST_PENDING = 1_000

class Stream {
  readonly #options: RateOptions
  readonly #sender: Sender
  readonly #startedAt = performance.now()
  readonly #timer: NodeJS.Timeout
  #due = 0
  #pending = 0
  #failed = 0
  #over = false
  sent = 0

  constructor(options: RateOptions, sender: Sender) {
    this.#options = options
    this.#sender = sender
    this.#timer = setInterval(() => this.#tick(), 2)
  }

  async stop(): Promise<RateReport> {
    clearInterval(this.#timer)
    const seconds = (performance.now() - this.#startedAt) / 1000
    const deadline = performance.now() + 10_000
    while (this.#pending > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
    this.#over = true
    await this.#sender.close()
    return { sent: this.sent, unsent: this.#pending, failed: this.#failed, seconds }
  }

  #tick(): void {
    const { rate, prefix, events, size } = this.#options
    const due = Math.floor(((performance.now() - this.#startedAt) / 1000) * rate)
    while (this.#due < due && this.#pending < MOST_PENDING) {
      const event = `${prefix}${this.#due % events}`
      this.#pending++
      this.#sender.send(event, messageText(event, this.#due++, size)).then(
        () => {
          this.#pending--
          this.sent++
        },
        (error: Error) => {
          this.#pending--
          if (this.#failed++ === 0 && !this.#over) process.stderr.write(`a message was not taken: ${error.message}\n`)
        },
      )
    }
    // What could not be offered in time is not made up for later.
    if (this.#pending >= MOST_PENDING) this.#due = due
  }
}

const streams = new Map<number, Stream>()
let numbers = 0

serveCalls({
  fill,
  start: async (options: RateOptions) => {
    streams.set(++numbers, new Stream(options, await senderFor(options.to)))
    return numbers
  },
  stop: async (stream: number) => {
    const report = await streams.get(stream)!.stop()
    streams.delete(stream)
    return report
  },
  sent: (stream: number) => streams.get(stream)?.sent ?? 0,
})
