import type { Channel } from 'rabbitmq-client'
import { noop } from '../core/noop.ts'

/** Rejects with the cause if a channel fails, if the broker cancels a consumer on it, or if it closes. Never resolves. */
export const rejectOnClose = (channel: Channel): Promise<never> => {
  const closed = new Promise<never>((_resolve, reject) => {
    channel.on('error', reject)
    channel.on('basic.cancel', (_tag: string, error: unknown) => reject(error))
    // Deferred, so that a cause that is reported together with the close rejects first.
    channel.on('close', () => setImmediate(() => reject(new Error('the channel was closed'))))
  })
  // Prevents an unhandled rejection while nothing awaits the promise.
  closed.catch(noop)
  return closed
}
