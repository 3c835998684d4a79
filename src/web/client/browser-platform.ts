import type { ClientPlatform } from './platform.ts'

/** Returns the browser's implementation of {@link ClientPlatform}. */
export const browserPlatform = (withCredentials: boolean): ClientPlatform => ({
  now: () => Date.now(),
  monotonicNow: () => performance.now(),
  random: () => Math.random(),
  setTimer(ms, act) {
    const timer = setTimeout(act, ms)
    return () => clearTimeout(timer)
  },
  source: (url) => new EventSource(url, { withCredentials }),
  fetch: (url, options) => fetch(url, options),
  report: (error) =>
    queueMicrotask(() => {
      throw error
    }),
  online: () => navigator.onLine !== false,
  requestLeadership(name, steal, onLead, onLost) {
    const controller = new AbortController()
    let release = (): void => controller.abort()
    let released = false
    const hold = (): Promise<void> =>
      new Promise((resolve) => {
        release = resolve
        if (released) resolve()
        else onLead()
      })
    navigator.locks
      .request(name, steal ? { steal } : { signal: controller.signal }, hold)
      .catch(() => released || onLost())
    return () => {
      released = true
      release()
    }
  },
  openBroadcast(name, onMessage) {
    const channel = new BroadcastChannel(name)
    channel.onmessage = ({ data }) => onMessage(data)
    return { send: (message) => channel.postMessage(message), close: () => channel.close() }
  },
  // Web Locks require a secure context: HTTPS or localhost.
  canShare: typeof BroadcastChannel === 'function' && 'locks' in navigator,
})
