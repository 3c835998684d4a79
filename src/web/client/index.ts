import { browserPlatform } from './browser-platform.ts'
import { ChannelController } from './channel.ts'
import type { Channel, ChannelOptions } from './types.ts'

export type * from './types.ts'

/**
 * Subscribes to events of a gateway: each message is delivered once, in the order of db_id, until `close()`.
 *
 * @param target the address of a stream, or the ids of up to 100 events
 * @throws TypeError if the address is invalid
 */
export const openChannel = (target: string | URL | readonly string[], options: ChannelOptions): Channel => {
  const tab = new ChannelController(browserPlatform(options.withCredentials ?? false), target, options)
  const ears = new AbortController()
  const page: EventTarget | undefined = globalThis.document
  const on = (target: EventTarget | undefined, name: string, act: (event: Event) => unknown): void =>
    target?.addEventListener?.(name, act, { signal: ears.signal })
  on(page, 'freeze', () => tab.suspend())
  on(page, 'resume', () => tab.start())
  on(page, 'visibilitychange', () => tab.check())
  on(globalThis, 'pagehide', () => tab.suspend())
  on(globalThis, 'pageshow', (event) => (event as PageTransitionEvent).persisted && tab.start())
  on(globalThis, 'online', () => tab.network(true))
  on(globalThis, 'offline', () => tab.network(false))
  // Deferred, so that callbacks can use the returned channel.
  queueMicrotask(() => tab.start())
  return {
    get state() {
      return tab.state
    },
    get status() {
      return tab.status
    },
    retry: () => tab.retry(),
    close() {
      ears.abort()
      tab.close()
    },
  }
}
