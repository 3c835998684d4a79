import type { PageHooks, PageListener, PageMessage, PageSocket } from '../../../src/web/deepsoc/live-delivery.ts'

/** A Socket.IO client without a server: the test delivers its messages. */
class ModelSocket implements PageSocket {
  #listeners: PageListener[] = []

  listeners(): PageListener[] {
    return [...this.#listeners]
  }

  on(_event: string, listener: PageListener): void {
    this.#listeners.push(listener)
  }

  off(_event: string, listener: PageListener): void {
    this.#listeners = this.#listeners.filter((one) => one !== listener)
  }

  /** Delivers a message as the server of DeepSOC does. */
  deliver(message: PageMessage): void {
    for (const listener of this.listeners()) listener(message)
  }
}

/**
 * A model of DeepSOC's war room: it recognizes messages by `temp_id` or else by `message_id`, replaces the user's
 * pending line, and loads what its database has after the greatest id that is shown.
 */
export class ModelPage implements PageHooks {
  readonly socket = new ModelSocket()
  readonly shownKeys = new Set<string>()
  /** Rows of DeepSOC's database. */
  readonly database: PageMessage[] = []
  /** Errors of listeners. */
  readonly errors: unknown[] = []
  user: string | null = 'u-1'
  isThinking = false
  /** Number of times that counters and status were loaded. */
  refreshes = 0
  /** Number of loads that have been requested. */
  loads = 0
  /** While it is set, loads stay without an answer. */
  isHanging = false
  #shown: PageMessage[] = []
  #timers: { at: number; callback: () => void }[] = []
  #now = 0

  constructor() {
    this.socket.on('new_message', (message) => {
      this.add(message)
    })
  }

  /** Adds a line as the page does, and returns whether it was new. */
  add(message: PageMessage): boolean {
    const { temp_id, message_id } = message
    const key = temp_id === undefined ? `id_${message_id}` : `tmp_${temp_id}`
    if (temp_id !== undefined && this.#shown.some((line) => line.temp_id === temp_id)) {
      this.#shown = this.#shown.filter((line) => line.temp_id !== temp_id)
      this.shownKeys.delete(key)
    }
    if (this.shownKeys.has(key)) return false
    this.shownKeys.add(key)
    this.#shown.push(message)
    return true
  }

  messages(): readonly PageMessage[] {
    return this.#shown
  }

  userId(): string | null {
    return this.user
  }

  async loadMessages(): Promise<void> {
    this.loads++
    if (this.isHanging) return new Promise(() => {})
    const rows = [...this.database]
    await Promise.resolve()
    const last = Math.max(0, ...this.#shown.map(({ id }) => id as number))
    for (const row of rows) if (Number.isNaN(last) || (row.id as number) > last) this.add(row)
  }

  endThinking(): void {
    this.isThinking = false
  }

  refreshEvent(): void {
    this.refreshes++
  }

  report(error: unknown): void {
    this.errors.push(error)
  }

  setTimer(ms: number, callback: () => void): void {
    this.#timers.push({ at: this.#now + ms, callback })
  }

  /** Lets this many milliseconds pass. */
  async pass(ms: number): Promise<void> {
    this.#now += ms
    const due = this.#timers.filter(({ at }) => at <= this.#now)
    this.#timers = this.#timers.filter(({ at }) => at > this.#now)
    for (const { callback } of due) callback()
    await this.settle()
  }

  /** Lets all promises that can settle do so. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  /** The lines in order: `message_id`, or the text of a pending line. */
  get lines(): string[] {
    return this.#shown.map(({ message_id, pending, message_content }) =>
      pending ? `pending: ${(message_content as { text: string }).text}` : String(message_id),
    )
  }

  /** Shows a line of the user that the server has not confirmed. */
  write(text: string, temp_id: string): void {
    this.add({ temp_id, message_id: temp_id, pending: true, message_type: 'user_message', message_content: { text } })
  }
}
