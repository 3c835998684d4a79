/**
 * What a consumer costs that does nothing: rabbitmq-client's own Consumer, prefetch 1000, one acknowledgement for
 * each message. Arguments: AMQP URL, queue, how many messages to take. Prints as pika_design.py does.
 */
import { Connection } from 'rabbitmq-client'

const [url, queue, wanted] = process.argv.slice(2) as [string, string, string]
const connection = new Connection(url)
connection.on('error', (error) => process.stderr.write(`${error}\n`))
let taken = 0
let startedAt = 0

const consumer = connection.createConsumer(
  { queue, queueOptions: { passive: true }, qos: { prefetchCount: 1000 } },
  () => {
    if (taken === 0) {
      startedAt = performance.now()
      process.stdout.write('{"started":true}\n')
    }
    if (++taken !== Number(wanted)) return
    // The acknowledgement of this last one goes out after this turn.
    setImmediate(() =>
      process.stdout.write(`{"seconds":${(performance.now() - startedAt) / 1000},"messages":${taken}}\n`),
    )
  },
)
consumer.on('error', (error) => process.stderr.write(`${error}\n`))
