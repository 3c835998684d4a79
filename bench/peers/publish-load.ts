/**
 * Publishes as fast as it is confirmed, from one process, with a thousand messages under way. Arguments: how
 * (`library`, `outbox`, `client`), AMQP URL, exchange, how many messages, how many events, outbox file.
 * `library` is this project's publisher, `client` rabbitmq-client's own with confirms. Prints {"started": true}, then
 * {"seconds": until the last confirmation, "promised": until the last send had resolved}.
 */
import { randomUUID } from 'node:crypto'
import { Connection } from 'rabbitmq-client'
import { Publisher } from '../../src/publisher/index.ts'
import { MESSAGE_BYTES } from '../series/measure.ts'

const [how, url, exchange, messages, events, outbox] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const IN_FLIGHT = 1_000
/** An agent runs for days: what its first seconds cost is not what is measured. */
const WARM_UP = 10_000

interface Sender {
  send(message: { event_id: string; message_type: string }): Promise<unknown>
  /** Resolves when everything is confirmed. */
  settled(): Promise<unknown>
}

const ours = (file: string | undefined): Sender => {
  const publisher = new Publisher({ url, exchange, maxQueued: 1_000_000, ...(file && { outbox: file }) })
  return { send: (message) => publisher.send(message), settled: () => publisher.flush({ timeoutMs: 120_000 }) }
}

const client = (): Sender => {
  const connection = new Connection(url)
  connection.on('error', (error) => process.stderr.write(`${error}\n`))
  const publisher = connection.createPublisher({ confirm: true, maxAttempts: 2 })
  return {
    send: (message) => {
      const routingKey = `notifications.frontend.${message.event_id}.${message.message_type}`
      const envelope = { exchange, routingKey, durable: true, mandatory: true, messageId: randomUUID() }
      return publisher.send(envelope, message)
    },
    settled: async () => undefined,
  }
}

const SENDERS: Record<string, () => Sender> = {
  library: () => ours(undefined),
  outbox: () => ours(outbox),
  client,
}

const sender = SENDERS[how]!()

const publish = async (count: number): Promise<void> => {
  let next = 0
  const filler = 'x'.repeat(MESSAGE_BYTES - 150)
  const worker = async (): Promise<void> => {
    while (next < count) {
      const n = next++
      const event_id = `e${n % Number(events)}`
      const message = { event_id, message_from: 'bench', message_type: 'note', n, message_content: filler }
      await sender.send(message)
    }
  }
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, count) }, worker))
}

await publish(Math.min(WARM_UP, Number(messages)))
await sender.settled()
process.stdout.write('{"started":true}\n')
const startedAt = performance.now()
await publish(Number(messages))
const promised = (performance.now() - startedAt) / 1000
await sender.settled()
process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - startedAt) / 1000, promised })}\n`)
