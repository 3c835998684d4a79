import { isDamage } from '../core/error-catalogue/groups.ts'
import { noop } from '../core/noop.ts'
import { encodeMessageEvent } from '../core/sse.ts'
import { ALL_MESSAGES, matchesFilter } from '../core/subscription-filter.ts'
import type { ChangeNotifier } from '../store/change-notifier.ts'
import type { MessageStore } from '../store/store.ts'
import type { StreamChannel } from './channel.ts'

/** Poll interval in milliseconds, in case a notification was lost (D1). */
const POLL_MS = 1_000

const PAGE = { messages: 1_000, bytes: 4 * 1024 * 1024 }

export interface TailerOptions {
  readonly store: MessageStore
  readonly changes: ChangeNotifier
  /** Called with the error of every failed read, and with null after a successful one. */
  readonly onFault: (error: unknown) => void
}

/** Reads new messages from the store once for all channels, and appends each to the channels whose filter it matches. */
export class Tailer {
  readonly #options: TailerOptions
  readonly #byEvent = new Map<string, Set<StreamChannel>>()
  readonly #allEvents = new Set<StreamChannel>()
  readonly #pending = new Set<StreamChannel>()
  #channels = 0
  #position = 0
  /** Number of times that the store was replaced. */
  #restarts = 0
  #notified = false
  #running: Promise<void> | null = null
  #stopped = true
  #pollTimer: NodeJS.Timeout | undefined
  #unsubscribe: (() => void) | undefined

  constructor(options: TailerOptions) {
    this.#options = options
  }

  /** Everything up to this db_id has been offered to all channels. */
  get position(): number {
    return this.#position
  }

  async start(): Promise<void> {
    this.#position = await this.#options.store.head()
    this.#stopped = false
    this.#unsubscribe = this.#options.changes.subscribe(() => this.notify())
    this.#pollTimer = setInterval(() => this.notify(), POLL_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unsubscribe?.()
    clearInterval(this.#pollTimer)
    await this.#running
  }

  /**
   * Adds a channel.
   *
   * @param head a db_id that the store is known to have reached; without channels the tailer does not follow the store
   */
  add(makeChannel: (from: number) => StreamChannel, head: number): StreamChannel {
    if (this.#channels === 0) this.#position = Math.max(this.#position, head)
    const channel = makeChannel(this.#position)
    this.#channels++
    for (const set of this.#getSets(channel)) set.add(channel)
    return channel
  }

  remove(channel: StreamChannel): void {
    this.#channels--
    for (const set of this.#getSets(channel)) set.delete(channel)
    if (channel.filter.events === '*') return
    for (const event of channel.filter.events) if (this.#byEvent.get(event)?.size === 0) this.#byEvent.delete(event)
  }

  /** Forgets the position after the store was replaced. There must be no channels. */
  restart(): void {
    this.#position = 0
    this.#restarts++
  }

  /** Called when there may be new messages. */
  notify(): void {
    this.#notified = true
    if (!this.#stopped && this.#channels > 0) this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    try {
      while (this.#notified && !this.#stopped) {
        // Cleared before the read, so that a commit during the read causes another one.
        this.#notified = false
        await this.#readPages()
      }
      this.#options.onFault(null)
    } catch (error) {
      // The next poll retries.
      this.#options.onFault(error)
      if (isDamage(error)) await this.#skipToHead().catch(noop)
    } finally {
      this.#running = null
    }
  }

  async #readPages(): Promise<void> {
    let more = true
    while (more && !this.#stopped && this.#channels > 0) {
      if (this.#allBlocked()) return this.#skipToHead()
      const restarts = this.#restarts
      const page = await this.#options.store.read(ALL_MESSAGES, this.#position, PAGE)
      // A page of the store that was replaced; the next notification reads the new one.
      if (restarts !== this.#restarts) return
      for (const message of page.messages) {
        let named: Buffer | null = null
        let unnamed: Buffer | null = null
        for (const channel of this.#channelsFor(message.event_id)) {
          if (!matchesFilter(channel.filter, message)) continue
          if (channel.allBlocked) {
            channel.buffer.discardThrough(message.db_id)
            continue
          }
          const frame = channel.filter.unnamed
            ? (unnamed ??= encodeMessageEvent(message, true))
            : (named ??= encodeMessageEvent(message))
          channel.append(message.db_id, frame)
          this.#pending.add(channel)
        }
      }
      this.#position = Math.max(this.#position, page.readThrough)
      more = page.hasMore
      this.#flush()
    }
  }

  /**
   * Skips to the end of the store without reading, since every subscriber is blocked, or a row is damaged. Subscribers read what was
   * skipped from the store, so only those that need the damaged row are affected by it.
   */
  async #skipToHead(): Promise<void> {
    const restarts = this.#restarts
    const head = await this.#options.store.head()
    if (restarts !== this.#restarts) return
    for (const channel of this.#all()) {
      channel.buffer.discardThrough(head)
      // Subscribers unblocked in the meantime must be flushed, or they would miss the skipped messages.
      if (!channel.allBlocked) this.#pending.add(channel)
    }
    this.#position = Math.max(this.#position, head)
    this.#flush()
  }

  #flush(): void {
    for (const channel of this.#pending) channel.scheduleBroadcast()
    this.#pending.clear()
  }

  #allBlocked(): boolean {
    for (const channel of this.#all()) if (!channel.allBlocked) return false
    return true
  }

  *#all(): Iterable<StreamChannel> {
    yield* this.#allEvents
    for (const channels of this.#byEvent.values()) yield* channels
  }

  *#channelsFor(event_id: string): Iterable<StreamChannel> {
    yield* this.#allEvents
    yield* this.#byEvent.get(event_id) ?? []
  }

  #getSets(channel: StreamChannel): Set<StreamChannel>[] {
    if (channel.filter.events === '*') return [this.#allEvents]
    return channel.filter.events.map((event) => {
      let set = this.#byEvent.get(event)
      if (set === undefined) this.#byEvent.set(event, (set = new Set()))
      return set
    })
  }
}
