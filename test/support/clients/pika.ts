import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { pikaPython } from '../harness/provision.ts'

/** One message. Exactly one of `body` (text), `body_base64` (bytes) and `py` (through Python's json.dumps) is given. */
export type PikaLine = {
  key: string
  /** Default: the publisher's exchange. */
  exchange?: string
  body?: string
  body_base64?: string
  /** JSON, NaN and Infinity allowed, or a Python literal. */
  py?: string
  properties?: PikaProperties
}

/** A header `{type: 'L', value: '9007199254740993'}` is sent as that AMQP field type. */
export type PikaProperties = {
  message_id?: string
  /** Bytes, in the place of `message_id`. */
  message_id_base64?: string
  headers?: Record<string, unknown>
  /** Default: `application/json`. */
  content_type?: string
  /** Default: 2, persistent. */
  delivery_mode?: 1 | 2
  content_encoding?: string
  correlation_id?: string
  expiration?: string
  priority?: number
  timestamp?: number
  type?: string
  app_id?: string
}

/** `attempts` counts how often this line was sent; more than once only with `retry`. */
export type PikaConfirm = { n: number; attempts: number }

export type PikaOptions = {
  url: string
  /** Default: `deepsoc_notifications_exchange`. */
  exchange?: string
  /** Declares the exchange as DeepSOC does, durable topic, once per connection. */
  declare?: boolean
  /** Default: true. If false, a line is done when it is written. */
  confirms?: boolean
  /** Treats an unroutable message as a failure. */
  mandatory?: boolean
  /** Reconnects and sends again until the broker has confirmed. */
  retry?: boolean
}

type Waiting = { resolve: (confirm: PikaConfirm) => void; reject: (error: Error) => void }

/** A Python process that publishes with pika, one message after another, in the order of the calls. */
export class PikaPublisher {
  /** Number of lines completed successfully so far. */
  confirmed = 0
  readonly #child: ChildProcessWithoutNullStreams
  readonly #waiting: Waiting[] = []
  readonly #ended: Promise<void>
  #failure: Error | undefined
  #stderr = ''

  /** @throws Error if no Python with pika is available */
  constructor({ url, exchange, declare, confirms = true, mandatory, retry }: PikaOptions) {
    const python = pikaPython()
    if (!python) throw new Error('no Python that can import pika (apt-get install python3-pika)')
    const script = fileURLToPath(new URL('./publisher.py', import.meta.url))
    const args = [script, '--url', url]
    if (exchange !== undefined) args.push('--exchange', exchange)
    if (declare) args.push('--declare')
    if (!confirms) args.push('--no-confirms')
    if (mandatory) args.push('--mandatory')
    if (retry) args.push('--retry')
    this.#child = spawn(python, args, { stdio: 'pipe' })
    if (this.#child.pid !== undefined) this.#child.once('exit', killAtExit(this.#child.pid))
    this.#child.stdin.on('error', () => {})
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-8000)
    })
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answer(line))
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => this.#fail(error, resolve))
      this.#child.once('close', (code, signal) => {
        this.#fail(new Error(`the pika publisher ended (${signal ?? code})\n${this.#stderr}`), resolve)
      })
    })
  }

  /** Number of lines that wait for confirmation. */
  get pending(): number {
    return this.#waiting.length
  }

  /**
   * Resolves when the broker has confirmed the message (without confirms: when it is written); rejects with the reason.
   */
  publish(line: PikaLine): Promise<PikaConfirm> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure)
        return
      }
      this.#waiting.push({ resolve, reject })
      this.#child.stdin.write(`${JSON.stringify(line)}\n`)
    })
  }

  /** Publishes all in order; rejects with the first failure once every line is settled. */
  async publishAll(lines: Iterable<PikaLine>): Promise<PikaConfirm[]> {
    const settled = await Promise.allSettled([...lines].map((line) => this.publish(line)))
    return settled.map((result) => {
      if (result.status === 'rejected') throw result.reason
      return result.value
    })
  }

  /** Publishes all queued messages, then ends the process. */
  async close(): Promise<void> {
    this.#child.stdin.end()
    await this.#ended
  }

  /** Kills the process like a crashing agent; unconfirmed messages reject. */
  async kill9(): Promise<void> {
    if (this.#child.pid !== undefined) killNow(this.#child.pid)
    await this.#ended
  }

  #answer(text: string): void {
    const { n, ok, error, attempts = 1 } = JSON.parse(text) as PikaConfirm & { ok: boolean; error?: string }
    const waiting = this.#waiting.shift()
    if (ok) {
      this.confirmed += 1
      waiting?.resolve({ n, attempts })
    } else {
      waiting?.reject(new Error(`message ${n}: ${error}`))
    }
  }

  #fail(error: Error, done: () => void): void {
    this.#failure ??= error
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure)
    done()
  }
}
