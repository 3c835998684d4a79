import type { ChannelState } from '../client/index.ts'

/** A message as DeepSOC's page handles it. */
export interface PageMessage {
  readonly message_id?: string
  /** The page's id of a line that the user has sent; set until the server has confirmed it. */
  readonly temp_id?: string
  readonly pending?: boolean
  readonly user_id?: string | null
  readonly message_content?: unknown
  readonly [field: string]: unknown
}

export type PageListener = (message: PageMessage) => void

/** The part of a Socket.IO client that is used. */
export interface PageSocket {
  listeners(event: string): PageListener[]
  on(event: string, listener: PageListener): unknown
  off(event: string, listener: PageListener): unknown
}

/** The parts of DeepSOC's page that are used; injected, so that tests can replace the page. */
export interface PageHooks {
  readonly socket: PageSocket
  /** Messages that the page has shown, pending lines included. */
  messages(): readonly PageMessage[]
  /** Keys by which the page recognizes messages that it has shown. */
  readonly shownKeys: Set<string>
  /** `user_id` of the signed-in user; null if it is unknown. */
  userId(): string | null
  /** Loads messages from DeepSOC's database with a request that is sent after this call. */
  loadMessages(): Promise<unknown>
  /** Removes the line that says that the AI is thinking, if the page has missed its own. */
  endThinking(): void
  /** Loads the counters and the status of the event. */
  refreshEvent(): void
  /** Reports an error thrown by a listener of the page. */
  report(error: unknown): void
  setTimer(ms: number, callback: () => void): void
}

/** Socket.IO's event for messages. */
const EVENT = 'new_message'
/** Time in which the stream must deliver a message that Socket.IO has delivered, in milliseconds. */
const GRACE_MS = 2_000
/** Maximum time for which live messages wait for the page's own request, in milliseconds. */
const LOAD_TIMEOUT_MS = 10_000
/** The page counts when a task is announced, before DeepSOC has stored it, so it must count again after this time. */
const REFRESH_MS = 2_000
/** Ids of streamed messages that are remembered; Socket.IO delivers the same messages within seconds. */
const MAX_STREAMED = 2_000

const getText = (content: unknown): unknown => (content as { text?: unknown } | null | undefined)?.text

/**
 * Replaces Socket.IO as the source of DeepSOC's live messages: each message of the stream goes to the listeners that
 * the page has registered for `new_message`. Of Socket.IO's own messages only those are used that the stream does not
 * have: confirmations of the user's lines, and messages that were never published to RabbitMQ.
 */
export class LiveDelivery {
  readonly #page: PageHooks
  readonly #listeners: readonly PageListener[]
  readonly #onSocket = (message: PageMessage): void => this.#fromSocket(message)
  readonly #streamed = new Set<string>()
  /** Messages that wait for the page's first load, which must be in front of them; null once it is complete. */
  #waiting: PageMessage[] | null = []
  #hasHello = false
  #isClosed = false
  #loading: Promise<unknown> | null = null
  #refreshes = false

  /** @throws Error if the page has no listener for messages */
  constructor(page: PageHooks) {
    this.#page = page
    this.#listeners = [...page.socket.listeners(EVENT)]
    if (this.#listeners.length === 0) throw new Error('DeepSOC has registered no listener for new_message.')
    for (const listener of this.#listeners) page.socket.off(EVENT, listener)
    page.socket.on(EVENT, this.#onSocket)
  }

  /** Handles a message of the stream. */
  onMessage(message: PageMessage): void {
    if (message.message_id !== undefined) this.#remember(message.message_id)
    if (this.#waiting === null) this.#deliver(message)
    else this.#waiting.push(message)
  }

  /** Handles a state of the stream. */
  onState(state: ChannelState): void {
    this.#isClosed = state === 'closed'
    if (this.#hasHello || (state !== 'catching_up' && state !== 'live')) return
    this.#hasHello = true
    void this.#flush()
  }

  /** What was stored before the stream began is in this load; what was stored later is in the stream. */
  async #flush(): Promise<void> {
    await this.#load()
    const waiting = this.#waiting ?? []
    this.#waiting = null
    for (const message of waiting) this.#deliver(message)
  }

  #deliver(message: PageMessage): void {
    // Without an id the page's cursor would become NaN, and it would load the whole history every 30 seconds.
    const complete = { ...message, id: message.id ?? null, created_at: message.created_at ?? message.received_at }
    const pending = this.#pendingLine(message)
    this.#hand(pending === undefined ? complete : { ...complete, temp_id: pending.temp_id! })
  }

  /** Finds the user's own line that the page shows until it is confirmed. */
  #pendingLine({ message_type, message_content, user_id }: PageMessage): PageMessage | undefined {
    if (message_type !== 'user_message') return undefined
    const own = this.#page.userId()
    if (user_id != null && own !== null && user_id !== own) return undefined
    const text = getText(message_content)
    return this.#page.messages().find((line) => line.pending === true && getText(line.message_content) === text)
  }

  #fromSocket(message: PageMessage): void {
    const { message_id, temp_id } = message
    if (temp_id !== undefined) {
      const isPending = this.#page.messages().some((line) => line.pending === true && line.temp_id === temp_id)
      if (isPending || !this.#isStreamed(message_id)) this.#hand(message)
    } else if (this.#isClosed) this.#hand(message)
    else if (!this.#isStreamed(message_id)) this.#page.setTimer(GRACE_MS, () => void this.#fallBack(message))
  }

  /** Shows a message that the stream has not delivered, after everything that DeepSOC's database has. */
  async #fallBack(message: PageMessage): Promise<void> {
    if (this.#isStreamed(message.message_id)) return
    await this.#load()
    if (!this.#isStreamed(message.message_id)) this.#hand(message)
  }

  #hand(message: PageMessage): void {
    for (const listener of this.#listeners) {
      try {
        listener.call(this.#page.socket, message)
      } catch (error) {
        this.#page.report(error)
      }
    }
    if (message.sender_type === 'ai') this.#page.endThinking()
    // The page remembers a confirmed line by its temp_id alone, and would show it again from its next load.
    if (message.message_id !== undefined) this.#page.shownKeys.add(`id_${message.message_id}`)
    this.#refreshSoon()
  }

  #refreshSoon(): void {
    if (this.#refreshes) return
    this.#refreshes = true
    this.#page.setTimer(REFRESH_MS, () => {
      this.#refreshes = false
      this.#page.refreshEvent()
    })
  }

  #load(): Promise<unknown> {
    const timeout = new Promise<void>((resolve) => this.#page.setTimer(LOAD_TIMEOUT_MS, resolve))
    this.#loading ??= this.#page
      .loadMessages()
      .catch((error) => this.#page.report(error))
      .finally(() => {
        this.#loading = null
      })
    return Promise.race([this.#loading, timeout])
  }

  #isStreamed(message_id: string | undefined): boolean {
    return message_id !== undefined && this.#streamed.has(message_id)
  }

  #remember(message_id: string): void {
    this.#streamed.add(message_id)
    if (this.#streamed.size > MAX_STREAMED) this.#streamed.delete(this.#streamed.values().next().value!)
  }
}
