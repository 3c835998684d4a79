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
    const wait = new AbortController()
    let leave = (): void => wait.abort()
    let given = false
    const hold = (): Promise<void> =>
      new Promise((resolve) => {
        leave = resolve
        if (given) resolve()
        else onLead()
      })
    navigator.locks.request(name, steal ? { steal } : { signal: wait.signal }, hold).catch(() => given || onLost())
    return () => {
      given = true
      leave()
    }
  },
  openBroadcast(name, onNote) {
    const channel = new BroadcastChannel(name)
    channel.onmessage = ({ data }) => onNote(data)
    return { send: (note) => channel.postMessage(note), close: () => channel.close() }
  },
  // Web Locks require a secure context: HTTPS or localhost.
  canShare: typeof BroadcastChannel === 'function' && 'locks' in navigator,
})
