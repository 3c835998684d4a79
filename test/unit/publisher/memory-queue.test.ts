import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as assert from 'uvu/assert'
import { PublishError } from '../../../src/publisher/index.ts'
import { MemoryQueue } from '../../../src/publisher/memory-queue.ts'
import type { QueuedMessage } from '../../../src/publisher/queue.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('memory-queue')

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('messages that were rejected while nothing could be sent leave the memory', async () => {
  const queue = new MemoryQueue({ maxQueued: 100, maxQueuedBytes: 1e9, sendTimeoutMs: 1e6, onIdle: () => {} })
  const heldBytes = (): number => {
    collectGarbage()
    return process.memoryUsage().arrayBuffers
  }
  const before = heldBytes()
  let rejected = 0
  for (let round = 0; round < 20; round++) {
    const sends = Array.from({ length: 100 }, (_, n) =>
      queue.add({ event_id: 'e', message_id: `${round}-${n}`, routingKey: 'k', body: Buffer.alloc(100_000) }),
    )
    queue.setConnectionError(new PublishError('exchange_missing', 'test'))
    for (const { status } of await Promise.allSettled(sends)) if (status === 'rejected') rejected++
  }
  assert.is(rejected, 2_000)
  assert.ok(heldBytes() - before < 50_000_000, `${heldBytes() - before} bytes are held`)
  assert.is(queue.next(), null)
})

test('a time limit that no timer has is no reason for one of 1 ms', async () => {
  const warnings: string[] = []
  const onWarning = ({ name }: Error): void => void warnings.push(name)
  process.on('warning', onWarning)
  const queue = new MemoryQueue({ maxQueued: 100, maxQueuedBytes: 1e9, sendTimeoutMs: 2 ** 40, onIdle: () => {} })
  const sent = queue.add({ event_id: 'e', message_id: 'm', routingKey: 'k', body: Buffer.alloc(1) })
  await new Promise(setImmediate)
  process.off('warning', onWarning)
  queue.confirmed(queue.next()!)
  await sent
  assert.equal(warnings, [])
})

test('the order stays while many messages are confirmed, and after a lost connection', () => {
  const queue = new MemoryQueue({ maxQueued: 1e6, maxQueuedBytes: 1e9, sendTimeoutMs: 1e6, onIdle: () => {} })
  for (let n = 0; n < 10_000; n++) {
    void queue.add({ event_id: 'e', message_id: String(n), routingKey: 'k', body: Buffer.alloc(1) })
  }
  for (let n = 0; n < 9_990; n++) queue.confirmed(queue.next()!)
  const rest = Array.from({ length: 5 }, () => queue.next()!)
  queue.confirmed(rest[1]!)
  queue.requeue(rest)
  const left: QueuedMessage[] = []
  for (let item = queue.next(); item !== null; item = queue.next()) left.push(item)
  assert.is(left.map(({ message_id }) => message_id).join(' '), '9990 9992 9993 9994 9995 9996 9997 9998 9999')
  for (const item of left) queue.confirmed(item)
  assert.is(queue.queued, 0)
})

test.run()
