import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { AsyncMessage, Channel } from 'rabbitmq-client'
import * as assert from 'uvu/assert'
import type { PublishError, PublishErrorCode } from '../../../src/publisher/index.ts'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { pikaPython } from '../harness/provision.ts'
import { until } from '../harness/wait.ts'
import { type Names, withChannel } from '../servers/rabbitmq.ts'

/** A message read from a queue. */
export type Delivered = {
  routingKey: string
  messageId: string | undefined
  contentType: string | undefined
  durable: boolean
  event_id: string
  message_id: string
  n: number
}

/** Declares the exchange and a queue bound to it, by default a classic one. */
export const declareQueue = (url: string, names: Names, args: Record<string, unknown> = {}): Promise<void> =>
  withChannel(url, async (channel) => {
    await channel.exchangeDeclare({ exchange: names.exchange, type: 'topic', durable: true })
    await channel.queueDeclare({ queue: names.queue, durable: true, arguments: args })
    await channel.queueBind({ queue: names.queue, exchange: names.exchange, routingKey: names.binding })
  })

/**
 * Reads messages from a queue in order, until `enough` returns true if publishing continues, or else until it is empty.
 */
export const takeAll = (
  url: string,
  queue: string,
  enough?: (taken: readonly Delivered[]) => boolean,
): Promise<Delivered[]> =>
  withChannel(url, async (channel) => {
    const taken: Delivered[] = []
    let ended = false
    const take = (message: AsyncMessage): void => {
      const { routingKey, messageId, contentType, durable = false } = message
      if (messageId === END) {
        ended = true
        return
      }
      const { event_id, message_id, n } = message.body
      taken.push({ routingKey, messageId, contentType, durable, event_id, message_id, n })
    }
    await channel.basicQos({ prefetchCount: 500 })
    await channel.basicConsume({ queue }, (message) => {
      take(message)
      channel.basicAck({ deliveryTag: message.deliveryTag })
    })
    if (enough === undefined) await markEnd(channel, queue)
    const done = () => (enough === undefined ? ended : enough(taken))
    await until(done, { what: enough === undefined ? 'an empty queue' : 'enough messages' })
    return taken
  })

const END = 'the end of the queue'

/** Publishes a marker message to the end of a queue: the message count that a busy broker reports may be outdated. */
const markEnd = async (channel: Channel, queue: string): Promise<void> => {
  await channel.confirmSelect()
  const mark = () =>
    channel.basicPublish({ routingKey: queue, messageId: END }, {}).then(
      () => true,
      // A queue with a length limit may still be full.
      () => false,
    )
  await until(mark, { what: 'a mark behind the messages', everyMs: 50 })
}

/** Returns the messages that the gateway would store: the first copy of each. */
export const firstCopies = (messages: readonly Delivered[]): Delivered[] => {
  const seen = new Set<string>()
  return messages.filter(({ event_id, message_id }) => {
    const key = `${event_id}\n${message_id}`
    return seen.size < seen.add(key).size
  })
}

/** Asserts that the numbers of each event, in the order of their first copies, increase by one from 0. */
export const assertInOrder = (messages: readonly Delivered[], count: number): void => {
  const numbers = new Map<string, number[]>()
  const copies = firstCopies(messages)
  for (const { event_id, n } of copies) numbers.set(event_id, [...(numbers.get(event_id) ?? []), n])
  assert.is(copies.length, count, 'every message is there')
  for (const [event_id, seen] of numbers) {
    const wrong = seen.findIndex((n, index) => n !== index)
    assert.is(wrong, -1, `${event_id}: ${seen.slice(Math.max(0, wrong - 3), wrong + 4).join(' ')} at ${wrong}`)
  }
}

/** @returns the error that the promise rejects with; fails unless it has this code */
export const rejection = async (promise: Promise<unknown>, code: PublishErrorCode): Promise<PublishError> => {
  const error = await promise.then(
    (value) => assert.unreachable(`no rejection, but ${JSON.stringify(value)}`),
    (reason: PublishError) => reason,
  )
  assert.is((error as PublishError).code, code, String((error as Error).message))
  return error as PublishError
}

export type AgentOptions = {
  url: string
  exchange: string
  outbox: string
  /** Number of messages to send, numbered from `from`, alternating between the events. */
  count: number
  from?: number
  events?: number
  /** Any command. Default: the TypeScript agent of support/clients/agent.ts. */
  command?: string[]
}

/** An agent with an outbox in its own process. It reports each message whose `send` resolved. */
export class Agent {
  /** Messages for which `send` has resolved. */
  accepted = 0
  /** Number of unconfirmed messages, as last reported. */
  queued = 0
  /** Error code if it could not start or send. */
  fault: string | undefined
  readonly #child: ChildProcessWithoutNullStreams
  readonly #ended: Promise<void>
  output = ''

  constructor({ url, exchange, outbox, count, from = 0, events = 1, command }: AgentOptions) {
    const script = fileURLToPath(new URL('./agent.ts', import.meta.url))
    const [program, ...rest] = command ?? [process.execPath, script]
    const args = [...rest, url, exchange, outbox, String(from), String(count), String(events)]
    this.#child = spawn(program!, args, { stdio: 'pipe' })
    if (this.#child.pid !== undefined) this.#child.once('exit', killAtExit(this.#child.pid))
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.output += chunk.toString()
    })
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const told = JSON.parse(line) as { accepted?: number; queued?: number; fault?: string }
      this.accepted = told.accepted ?? this.accepted
      this.queued = told.queued ?? this.queued
      this.fault = told.fault ?? this.fault
    })
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()))
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  async hasAccepted(count: number): Promise<void> {
    const enough = () => this.accepted >= count || (!this.running && 'ended')
    const verdict = await until(enough, { what: `${count} accepted messages`, saw: () => this.accepted })
    if (verdict === 'ended' && this.accepted < count) throw new Error(`the agent ended: ${this.fault}\n${this.output}`)
  }

  /** Resolves when the process has exited by itself. */
  async ended(): Promise<void> {
    await this.#ended
  }

  async kill9(): Promise<void> {
    if (this.#child.pid !== undefined) killNow(this.#child.pid)
    await this.#ended
  }
}

/**
 * Returns a Python that can import pika.
 * @throws Error if there is none
 */
export const pythonWithPika = (): string => {
  const found = pikaPython()
  if (found === undefined) throw new Error('no Python with pika')
  return found
}

/** An agent that publishes with the Python example. */
export const pythonAgent = (options: AgentOptions): Agent =>
  new Agent({ ...options, command: [pythonWithPika(), fileURLToPath(new URL('./agent.py', import.meta.url))] })
