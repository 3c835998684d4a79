/**
 * What a consumer costs that does nothing: rabbitmq-client's own Consumer, prefetch 1000, one acknowledgement for
 * each message. Arguments: AMQP URL, queue, how many messages to take first without counting them, how many to
 * count. Prints as pika_design.py does, from the first message that counts.
 */
import { Connection } from 'rabbitmq-client'

const [url, queue, ...counts] = process.argv.slice(2) as [string, string, string, string]
const [warmUp, messages] = counts.map(Number) as [number, number]
const connection = new Connection(url)
connection.on('error', (error) => process.stderr.write(`${error}\n`))
let taken = 0
let startedAt = 0

const consumer = connection.createConsumer(
  { queue, queueOptions: { passive: true }, qos: { prefetchCount: 1000 } },
  () => {
    if (taken === warmUp) {
      startedAt = performance.now()
      process.stdout.write('{"started":true}\n')
    }
    if (++taken !== warmUp + messages) return
    // The acknowledgement of this last one goes out after this turn.
    setImmediate(() =>
      process.stdout.write(`{"seconds":${(performance.now() - startedAt) / 1000},"messages":${messages}}\n`),
    )
  },
)
consumer.on('error', (error) => process.stderr.write(`${error}\n`))
