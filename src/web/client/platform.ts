/** The part of an EventSource that a connection uses. */
export type Source = Pick<EventSource, 'readyState' | 'close'> & {
  addEventListener(name: string, callback: (event: MessageEvent<string>) => void): void
}

/** `readyState` of a source that does not reconnect. */
export const EVENT_SOURCE_CLOSED = 2

/** Sends messages to other tabs. */
export interface Broadcast {
  send(message: unknown): void
  close(): void
}

/** Browser APIs that a channel uses; injected, so that tests can replace clocks, connections and tabs. */
export interface ClientPlatform {
  /** Wall clock in milliseconds since 1970: runs while the machine sleeps, but can be set. */
  now(): number
  /** Monotonic clock in milliseconds: cannot be set, but may stop while the machine sleeps. */
  monotonicNow(): number
  /** From 0 (inclusive) to 1 (exclusive). */
  random(): number
  /** @returns cancels the timer */
  setTimer(ms: number, callback: () => void): () => void
  source(url: string): Source
  fetch(url: string, options: RequestInit): Promise<Response>
  /** Reports an error thrown by a callback of the page, as the browser does for event handlers. */
  report(error: unknown): void
  /** False if the browser is offline. */
  online(): boolean
  /**
   * Waits for the browser-wide lock of this name, or steals it.
   *
   * @param onLost the lock was stolen, or locks are unavailable
   * @returns releases the lock, or cancels the wait for it
   */
  requestLeadership(name: string, steal: boolean, onLead: () => void, onLost: () => void): () => void
  /** Opens a broadcast channel: messages reach all other tabs of this name, in the order of each sender. */
  openBroadcast(name: string, onMessage: (message: unknown) => void): Broadcast
  /** Whether the browser supports both locks and broadcasts. */
  readonly canShare: boolean
}
