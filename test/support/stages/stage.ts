import { readFileSync } from 'node:fs'
import { type PikaProperties, PikaPublisher } from '../clients/pika.ts'
import { openSse, type ParsedEvent, type SseStream } from '../clients/sse.ts'
import { until } from '../harness/wait.ts'
import { countMessages, type RejectedRow, rejectedRows } from '../servers/database.ts'
import { type Env, type Gateway, type GatewayOptions, startGateway } from '../servers/gateway.ts'
import { deleteNames, type Names, queueReady, uniqueNames } from '../servers/rabbitmq.ts'

/** The ten messages in DeepSOC's format, as text, and their event. */
export const FIXTURE = readFileSync(new URL('../../fixtures/messages.jsonl', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.trim() !== '')
export const FIXTURE_EVENT = '3b0c9f4e-6a1d-4c57-9a2e-5f1e0c8d7a11'

/** A routing key that matches the tests' binding. */
export const KEY = 'notifications.frontend.test'

/** Environment of a gateway that uses a broker under these names. */
export const brokerEnv = (url: string, { exchange, queue, binding }: Names, env: Env = {}): Env => ({
  RABBITMQ_URL: url,
  RABBITMQ_EXCHANGE: exchange,
  RABBITMQ_QUEUE: queue,
  RABBITMQ_BINDING: binding,
  ...env,
})

export const streamUrl = (gateway: Pick<Gateway, 'url'>, event_id: string): string =>
  `${gateway.url}/api/events/${encodeURIComponent(event_id)}/stream`

export const messagesUrl = (gateway: Pick<Gateway, 'url'>, event_id: string): string =>
  `${gateway.url}/api/events/${encodeURIComponent(event_id)}/messages`

/** A gateway in broker mode with unique names, and an agent that publishes to it through pika. */
export type Stage = {
  readonly names: Names
  readonly gateway: Gateway
  readonly agent: PikaPublisher
  /** Publishes texts or bytes in order and resolves when the broker has confirmed them all. */
  publish(bodies: readonly (string | Buffer)[], properties?: PikaProperties): Promise<void>
  /** Resolves when the database contains this many messages. */
  stored(count: number): Promise<void>
  /** Resolves with the rows once the quarantine contains this many. */
  rejected(count: number): Promise<RejectedRow[]>
  open(event_id: string): Promise<SseStream>
  /**
   * Stops the gateway gracefully, so that unacknowledged messages are requeued, and returns the number of messages then
   * in the queue.
   */
  leftInQueue(): Promise<number>
  dispose(): Promise<void>
}

export type StageOptions = { env?: Env; gateway?: GatewayOptions }

export const openStage = async (url: string, prefix: string, options: StageOptions = {}): Promise<Stage> => {
  const names = uniqueNames(prefix)
  const gateway = await startGateway({ ...options.gateway, env: brokerEnv(url, names, options.env) })
  await gateway.ready()
  const agent = new PikaPublisher({ url, exchange: names.exchange, mandatory: true })
  return {
    names,
    gateway,
    agent,
    async publish(bodies, properties) {
      const of = (body: string | Buffer) =>
        typeof body === 'string' ? { body } : { body_base64: body.toString('base64') }
      await agent.publishAll(bodies.map((body) => ({ key: KEY, ...of(body), ...(properties && { properties }) })))
    },
    async stored(count) {
      const what = `${count} messages in the database`
      let seen = 0
      await until(() => (seen = countMessages(gateway.dbFile)) >= count, { what, saw: () => seen })
    },
    async rejected(count) {
      const what = `${count} rows in the quarantine`
      let rows: RejectedRow[] = []
      await until(() => (rows = rejectedRows(gateway.dbFile)).length >= count, { what, saw: () => rows.length })
      return rows
    },
    open: (event_id) => openSse(streamUrl(gateway, event_id)),
    async leftInQueue() {
      await gateway.term()
      await until(async () => (await queueReady(url, names.queue))?.consumers === 0, { what: 'the consumer is gone' })
      return (await queueReady(url, names.queue))?.messages ?? -1
    },
    async dispose() {
      await agent.kill9()
      await gateway.dispose()
      await deleteNames(url, names)
    },
  }
}

/** Returns the messages of a stream so far. */
export const listMessages = (stream: SseStream): ParsedEvent[] =>
  stream.events.filter(({ event }) => event === 'new_message')

/** Resolves with the messages of a stream once there are this many. */
export const waitForMessages = async (stream: SseStream, count: number): Promise<ParsedEvent[]> => {
  await stream.waitFor(() => listMessages(stream).length >= count)
  return listMessages(stream)
}
