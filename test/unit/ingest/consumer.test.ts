import { EventEmitter } from 'node:events'
import type { Channel } from 'rabbitmq-client'
import * as assert from 'uvu/assert'
import { BASIC_DELIVER, HEADER, METHOD } from '../../../src/amqp/delivery-frames.ts'
import type { AmqpConnection, FrameInterceptor } from '../../../src/amqp/rabbitmq-client-patch.ts'
import { Consumer, type ConsumerOptions } from '../../../src/ingest/consumer.ts'
import { IngestBuffer } from '../../../src/ingest/ingest-buffer.ts'
import type { AppendEntry, AppendResult } from '../../../src/store/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'

const test = suite('consumer')

test('deliveries that wait for a commit are not committed once the connection is stale', async () => {
  const staleness = { at: Number.POSITIVE_INFINITY }
  let intercepted: FrameInterceptor = () => false
  const connection = {
    get staleAt() {
      return staleness.at
    },
    intercept: (_channel: Channel, interceptor: FrameInterceptor) => void (intercepted = interceptor),
  }
  const channel = Object.assign(new EventEmitter(), { basicQos() {}, basicConsume() {}, basicAck() {} })
  const commits: { size: number; finish(): void }[] = []
  const append = (entries: readonly AppendEntry[]): Promise<AppendResult[]> =>
    new Promise((resolve) => {
      const finish = (): void => resolve(entries.map(() => ({ kind: 'rejected', db_id: 0 })))
      commits.push({ size: entries.length, finish })
    })
  const ignore = (): void => {}
  const options: ConsumerOptions = {
    buffer: new IngestBuffer(1_000_000),
    append,
    queue: 'queue',
    prefetch: 10,
    maxMessageBytes: 1_000,
    publishedByKey: null,
    onCommitted: ignore,
    onLag: ignore,
    onStorageFault: ignore,
    tracer: null,
  }
  const consumer = new Consumer(connection as unknown as AmqpConnection, channel as unknown as Channel, options)
  await consumer.start()
  const deliver = (deliveryTag: number): void => {
    const params = { deliveryTag, redelivered: false, exchange: 'exchange', routingKey: 'key' }
    const frames = [
      { type: METHOD, channelId: 1, methodId: BASIC_DELIVER, params },
      { type: HEADER, channelId: 1, bodySize: 0, fields: {} },
    ]
    for (const frame of frames) intercepted(frame)
  }
  deliver(1)
  await until(() => commits.length === 1, { what: 'the first commit' })
  deliver(2)
  deliver(3)
  staleness.at = 0
  commits[0]!.finish()
  await until(() => consumer.idle || commits.length > 1, { what: 'the end, or another commit' })
  assert.equal(
    commits.map(({ size }) => size),
    [1],
  )
})

test.run()
