import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tempDir } from '../../test/support/harness/wait.ts'
import type { Broker } from '../../test/support/servers/rabbitmq.ts'
import { Program } from '../support/program.ts'
import { ensure, PYTHON } from '../support/provision.ts'
import { cpuMicros } from '../support/stats.ts'

/** Messages that a consumer takes from a full queue. */
export interface Batch {
  /** Those that come first and do not count, while V8 compiles. */
  readonly warmUp: number
  readonly messages: number
}

export interface Consumed {
  readonly seconds: number
  readonly messages: number
  /** CPU of the consumer from its first message to its last, in microseconds. */
  readonly cpu: number
}

const consume = async (command: string, args: string[], limitMs: number): Promise<Consumed> => {
  const program = await Program.start({ command, args, ready: () => true })
  try {
    await program.report('started', 20_000)
    const before = cpuMicros([program.pid])
    const { seconds, messages } = await program.report<{ seconds: number; messages: number }>('seconds', limitMs)
    return { seconds, messages, cpu: cpuMicros([program.pid]) - before }
  } finally {
    await program.stop()
  }
}

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** Takes a queue with a consumer that only acknowledges, one by one. */
export const consumeBare = (broker: Broker, queue: string, { warmUp, messages }: Batch): Promise<Consumed> => {
  const args = [script('bare-consumer.ts'), broker.url, queue, String(warmUp), String(messages)]
  return consume(process.execPath, args, 120_000)
}

/**
 * Takes a queue as the original design does.
 *
 * @param journal `delete` is SQLite's default and the design's; `wal` is the quicker one
 * @throws Error when pika cannot be had
 */
export const consumePika = async (
  broker: Broker,
  queue: string,
  messages: number,
  journal: 'delete' | 'wal',
): Promise<Consumed> => {
  await ensure('pika')
  const dir = tempDir('bench-pika-')
  try {
    const args = [script('pika_design.py'), broker.url, queue, join(dir, 'messages.db'), journal, String(messages)]
    return await consume(PYTHON, args, 120_000)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
