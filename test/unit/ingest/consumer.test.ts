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

/** A consumer whose connection and store the test controls. */
const startConsumer = async () => {
  let intercepted: FrameInterceptor = () => false
  const connection = {
    stale: false,
    staleAt: Number.POSITIVE_INFINITY,
    intercept: (_channel: Channel, interceptor: FrameInterceptor) => void (intercepted = interceptor),
  }
  const channel = Object.assign(new EventEmitter(), { basicQos() {}, basicConsume() {}, basicAck() {} })
  const commits: { size: number; succeed(): void; fail(): void }[] = []
  const append = (entries: readonly AppendEntry[]): Promise<AppendResult[]> =>
    new Promise((resolve, reject) => {
      const succeed = (): void => resolve(entries.map(() => ({ kind: 'rejected', db_id: 0 })))
      commits.push({ size: entries.length, succeed, fail: () => reject(new Error('the store has failed')) })
    })
  let faults = 0
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
    onStorageFault: (error) => void (faults += error === null ? 0 : 1),
    tracer: null,
  }
  const consumer = new Consumer(connection as unknown as AmqpConnection, channel as unknown as Channel, options)
  await consumer.start()
  return {
    connection,
    commits,
    faults: () => faults,
    deliver(deliveryTag: number): void {
      const params = { deliveryTag, redelivered: false, exchange: 'exchange', routingKey: 'key' }
      const frames = [
        { type: METHOD, channelId: 1, methodId: BASIC_DELIVER, params },
        { type: HEADER, channelId: 1, bodySize: 0, fields: {} },
      ]
      for (const frame of frames) intercepted(frame)
    },
    /** Returns the size of each commit, once the consumer holds nothing or has started another commit. */
    async sizes(): Promise<number[]> {
      const before = commits.length
      await until(() => consumer.idle || commits.length > before, { what: 'the end, or another commit' })
      return commits.map(({ size }) => size)
    },
  }
}

test('deliveries that wait for a commit are not committed once the connection is stale', async () => {
  const { connection, commits, deliver, sizes } = await startConsumer()
  deliver(1)
  await until(() => commits.length === 1, { what: 'the first commit' })
  deliver(2)
  deliver(3)
  connection.stale = true
  commits[0]!.succeed()
  assert.equal(await sizes(), [1])
})

test('a commit that has failed is not repeated once the connection is stale', async () => {
  const { connection, commits, faults, deliver, sizes } = await startConsumer()
  deliver(1)
  await until(() => commits.length === 1, { what: 'the first commit' })
  commits[0]!.fail()
  await until(() => faults() === 1, { what: 'the fault' })
  connection.stale = true
  assert.equal(await sizes(), [1])
})

test.run()
