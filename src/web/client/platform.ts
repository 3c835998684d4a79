/** The part of an EventSource that a line uses. */
export type Source = Pick<EventSource, 'readyState' | 'close'> & {
  addEventListener(name: string, act: (event: MessageEvent<string>) => void): void
}

/** `readyState` of a source that has given up. */
export const EVENT_SOURCE_CLOSED = 2

/** What tabs say to each other. */
export interface Broadcast {
  send(note: unknown): void
  close(): void
}

/** What a channel needs of its browser; handed in, so that tests have clocks, lines and tabs of their own. */
export interface ClientPlatform {
  /** Milliseconds since 1970: goes on while the machine sleeps, and may be set. */
  now(): number
  /** Milliseconds: never set, and may stand still while the machine sleeps. */
  monotonicNow(): number
  /** From 0 up to 1. */
  random(): number
  /** @returns takes it back */
  setTimer(ms: number, act: () => void): () => void
  source(url: string): Source
  fetch(url: string, options: RequestInit): Promise<Response>
  /** Tells of an error that a callback of the page has thrown, as the browser does with those of event handlers. */
  report(error: unknown): void
  /** False if the browser knows that it has no network. */
  online(): boolean
  /**
   * Waits for the one place of this name in the browser, or takes it from who has it.
   *
   * @param onLost the place was taken away, or places cannot be had here
   * @returns gives the place, or the wait for it, up
   */
  requestLeadership(name: string, steal: boolean, onLead: () => void, onLost: () => void): () => void
  /** Everything that is sent under this name reaches all others who listen, in the order of each sender. */
  openBroadcast(name: string, onNote: (note: unknown) => void): Broadcast
  /** Whether the two above are there. */
  readonly canShare: boolean
}
