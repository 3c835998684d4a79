import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tempDir } from '../../test/support/harness/wait.ts'
import { Program } from '../support/program.ts'
import { ensure, PYTHON } from '../support/provision.ts'
import { cpuMicros } from '../support/stats.ts'

export interface Published {
  /** From the first send to the last confirmation. */
  readonly seconds: number
  /** From the first send until the last one had resolved. */
  readonly promised: number
  /** CPU of the publishing process, in microseconds. */
  readonly cpu: number
}

export interface PublishLoad {
  readonly url: string
  readonly exchange: string
  readonly messages: number
  readonly events: number
}

const publish = async (command: string, args: string[]): Promise<Published> => {
  const program = await Program.start({ command, args, ready: () => true })
  try {
    await program.report('started', 30_000)
    const before = cpuMicros([program.pid])
    const { seconds, promised } = await program.report<{ seconds: number; promised: number }>('seconds', 120_000)
    return { seconds, promised, cpu: cpuMicros([program.pid]) - before }
  } finally {
    await program.stop()
  }
}

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/**
 * Publishes in Node with many messages under way.
 *
 * @param how `library`, `outbox`: this project's publisher; `client`: rabbitmq-client's own
 */
export const publishNode = async (how: 'library' | 'outbox' | 'client', load: PublishLoad): Promise<Published> => {
  const dir = tempDir('bench-outbox-')
  const { url, exchange, messages, events } = load
  try {
    const args = [
      script('publish-load.ts'),
      how,
      url,
      exchange,
      String(messages),
      String(events),
      join(dir, 'outbox.db'),
    ]
    return await publish(process.execPath, args)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Publishes with pika. @throws Error when pika cannot be had */
export const publishPika = async ({ url, exchange, messages, events }: PublishLoad): Promise<Published> => {
  await ensure('pika')
  return publish(PYTHON, [script('pika_publish.py'), url, exchange, String(messages), String(events)])
}
