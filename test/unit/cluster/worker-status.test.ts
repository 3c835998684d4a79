import { Counter, Gauge, Registry } from 'prom-client'
import * as assert from 'uvu/assert'
import type { ClusterMessage } from '../../../src/cluster/messages.ts'
import { ClusterWorker } from '../../../src/cluster/worker.ts'
import { sumCounters } from '../../../src/telemetry/cluster-metrics.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'

const test = suite('the status that a worker sends')

const channel = process as unknown as { connected: boolean | undefined; send: unknown }
const before = { connected: channel.connected, send: channel.send, listeners: process.listeners('message') }
let sent: ClusterMessage[] = []

test.before(() => {
  channel.connected = true
  channel.send = (message: ClusterMessage, done: () => void) => {
    sent.push(message)
    done()
  }
})
test.after(() => {
  channel.connected = before.connected
  channel.send = before.send
  for (const listener of process.listeners('message')) {
    if (!before.listeners.includes(listener)) process.off('message', listener as NodeJS.MessageListener)
  }
})

test('holds all metrics if it is requested, and is sent by itself only after something was counted', async () => {
  const registers = [new Registry()] as [Registry]
  const counter = new Counter({ name: 'gateway_messages_total', help: 'h', labelNames: ['reason'], registers })
  const gauge = new Gauge({ name: 'gateway_readers', help: 'h', registers })
  const seconds = new Counter({ name: 'process_cpu_seconds_total', help: 'h', registers })
  const worker = new ClusterWorker()
  let looks = 0
  worker.setStatusSource({
    status: async () => ({ started_at: 1, faults: [], metrics: await registers[0].getMetricsAsJSON() }),
    counted: () => sumCounters(registers[0]).finally(() => looks++),
  })
  /** Returns the ids of what is sent after a request. */
  const answers = async (id: number): Promise<number[]> => {
    sent = []
    const from = looks
    process.emit('message', { gateway: 'worker_status', id }, undefined)
    await until(() => looks > from)
    // The status is sent in the turns after the look.
    await new Promise((resolve) => setTimeout(resolve, 20))
    return sent.flatMap((message) => (message.gateway === 'worker_status' ? [message.id] : []))
  }
  assert.equal(await answers(0), [], 'nothing was counted yet')
  assert.equal(await answers(7), [7], 'a request is answered')
  counter.inc({ reason: 'a' })
  assert.equal(await answers(0), [0])
  assert.equal(await answers(0), [])
  gauge.set(5)
  seconds.inc(3)
  assert.equal(await answers(0), [], 'a gauge and the time of the processor are no counts')
  counter.inc({ reason: 'b' }, 2)
  assert.equal(await answers(0), [0])
})

test.run()
