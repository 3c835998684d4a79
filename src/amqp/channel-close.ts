import type { Channel } from 'rabbitmq-client'
import { noop } from '../core/noop.ts'

/**
 * Rejects with the cause when a channel fails, when the broker cancels a consumer on it, or when it closes.
 * Never resolves.
 */
export const rejectOnClose = (channel: Channel): Promise<never> => {
  const closed = new Promise<never>((_resolve, reject) => {
    channel.on('error', reject)
    channel.on('basic.cancel', (_tag: string, error: unknown) => reject(error))
    // One turn later, so that a cause that is reported with the close comes first.
    channel.on('close', () => setImmediate(() => reject(new Error('the channel was closed'))))
  })
  // Of several failures only the first is waited for.
  closed.catch(noop)
  return closed
}
