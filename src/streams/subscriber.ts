import { type ClosingReason, encodeCaughtUpEvent, encodeClosingEvent, encodeRetry } from '../core/sse.ts'
import type { StreamChannel } from './channel.ts'
import type { HistoryPage } from './history-cache.ts'

/** Where a subscriber's bytes go: the socket, or whatever carries them. */
export interface StreamSink {
  /** Writes, and calls `done`, never at once, when the bytes have left this process; a sink that is gone stays silent. */
  write(bytes: Buffer, done: () => void): void
  /** True while bytes of an earlier write are still in this process. */
  readonly pending: boolean
  /** A number that changes whenever the peer has taken something. */
  readonly progress: number
  /** Ends the stream after what was written; nothing may be written any more. */
  end(last: Buffer | null): void
  /** Ends the stream at once. */
  destroy(): void
}

/** What all readers together were given since the start; plain numbers, as they are counted at each write. */
export interface SendCounters {
  /** Messages. */
  messages: number
  /** Bytes of messages and of all other events. */
  bytes: number
  /** Pages of history. */
  pages: number
}

/** `stalled`: its socket is full. `catching_up`: it is given history. `live`: it has all there is. */
export type SubscriberState = 'live' | 'catching_up' | 'stalled'

/** What a subscriber needs of the room it is in. */
export interface SubscriberContext {
  readonly channel: StreamChannel
  readonly counters: SendCounters
  /** Everything up to this db_id has been offered to all channels. */
  readonly tailPosition: () => number
  readonly history: (cursor: number) => Promise<HistoryPage>
  /** Called once a write is not taken at once, and again when it is. */
  readonly onBlocked: (subscriber: Subscriber, blocked: boolean) => void
  /** Called for a page that could not be read; `pump`, called later, asks for it again. */
  readonly onFault: (subscriber: Subscriber, error: unknown) => void
}

export interface SubscriberOptions {
  readonly sink: StreamSink
  /** Everything with a greater db_id is sent. */
  readonly cursor: number
  /** `caught_up` is sent once everything up to here has been. */
  readonly caughtUpAt: number
  /** Bytes that go out before anything else, in one write with the first page: head, retry, hello, reset. */
  readonly preamble: Buffer
}

/**
 * A cursor and a sink. At most one write is under way: a slow reader costs one page (S1), and while its
 * write lasts nothing is kept for it, since the cursor says where to go on. From the slab where the cursor
 * is within it, from the log where it is not: the same rule, so there is no hand-over.
 */
export class Subscriber {
  /** Index in the channel's list; the channel keeps it. */
  index = -1
  readonly #sink: StreamSink
  readonly #around: SubscriberContext
  readonly #caughtUpAt: number
  #cursor: number
  #lastSent: number
  #preamble: Buffer | null
  #writing = false
  #blocked = false
  #reading = false
  #caughtUp = false
  #closed = false

  constructor(options: SubscriberOptions, around: SubscriberContext) {
    this.#sink = options.sink
    this.#around = around
    this.#cursor = options.cursor
    this.#lastSent = options.cursor
    this.#caughtUpAt = options.caughtUpAt
    this.#preamble = options.preamble
  }

  /** The db_id up to which the reader has been served. */
  get cursor(): number {
    return this.#cursor
  }

  get caughtUp(): boolean {
    return this.#caughtUp
  }

  get state(): SubscriberState {
    if (this.#blocked) return 'stalled'
    return this.#caughtUp && this.#cursor >= this.channel.slab.startsAfter ? 'live' : 'catching_up'
  }

  get channel(): StreamChannel {
    return this.#around.channel
  }

  get sink(): StreamSink {
    return this.#sink
  }

  /** Takes what is behind the cursor, if the sink is free. Cheap when there is nothing. */
  sendPending(): void {
    if (this.#writing || this.#reading || this.#closed) return
    if (!this.#withinSlab) {
      void this.#readPage()
      return
    }
    const { counters, channel } = this.#around
    const { slab } = channel
    const bytes = slab.framesAfter(this.#cursor)
    if (bytes !== null) {
      counters.messages += slab.countAfter(this.#cursor)
      this.#cursor = slab.last
      this.#lastSent = slab.last
    }
    this.#send(bytes)
  }

  /** Sends a heartbeat unless a write is under way: then the reader has other worries. */
  heartbeat(frame: Buffer): void {
    if (!this.#writing && !this.#closed && this.#preamble === null) this.#write(frame)
  }

  /** Says why, and ends. @param retryMs the client's new reconnection delay */
  close(reason: ClosingReason, retryMs: number | null = null): void {
    if (this.#closed) return
    this.#closed = true
    const retry = retryMs === null ? [] : [encodeRetry(retryMs)]
    this.#sink.end(Buffer.concat([...this.#takePrelude(), ...retry, encodeClosingEvent(reason)]))
  }

  /** The sink is gone: nothing is written any more (S2). */
  onSinkClosed(): void {
    this.#closed = true
    this.#unblock()
  }

  /** True if the slab holds everything behind the cursor. */
  get #withinSlab(): boolean {
    const { channel, tailPosition } = this.#around
    // Before caught_up the target decides too: the tail may not have read as far as `hello` has promised.
    const reached = this.#caughtUp || this.#cursor >= this.#caughtUpAt || tailPosition() >= this.#caughtUpAt
    return reached && this.#cursor >= channel.slab.startsAfter
  }

  #takePrelude(): Buffer[] {
    const prelude = this.#preamble
    this.#preamble = null
    return prelude === null ? [] : [prelude]
  }

  /** Writes messages, with the prelude before them and `caught_up` behind them where it is their turn: one system call. */
  #send(messages: Buffer | null): void {
    if (messages !== null && this.#caughtUp) {
      this.#write(messages)
      return
    }
    const parts = this.#takePrelude()
    if (messages !== null) parts.push(messages)
    if (!this.#caughtUp && this.#withinSlab && this.#cursor >= this.#around.channel.slab.last) {
      this.#caughtUp = true
      parts.push(encodeCaughtUpEvent(this.#lastSent))
    }
    if (parts.length > 0) this.#write(parts.length === 1 ? parts[0]! : Buffer.concat(parts))
  }

  #write(bytes: Buffer): void {
    this.#writing = true
    this.#around.counters.bytes += bytes.length
    this.#sink.write(bytes, this.#onWritten)
    if (this.#writing && this.#sink.pending && !this.#blocked) {
      this.#blocked = true
      this.#around.onBlocked(this, true)
    }
  }

  readonly #onWritten = (): void => {
    this.#writing = false
    this.#unblock()
    // Page after page would go out without the event loop ever having its turn.
    if (this.#cursor < this.#around.channel.slab.startsAfter) setImmediate(this.#pumpLater)
    else this.sendPending()
  }

  readonly #pumpLater = (): void => this.sendPending()

  #unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    this.#around.onBlocked(this, false)
  }

  async #readPage(): Promise<void> {
    this.#reading = true
    try {
      const page = await this.#around.history(this.#cursor)
      this.#reading = false
      // A heartbeat that began meanwhile ends first; its end pumps again, and the page is at hand.
      if (!this.#closed && !this.#writing) this.#takePage(page)
    } catch (error) {
      this.#reading = false
      this.#around.onFault(this, error)
      // The reader learns that it is connected, though there is nothing to give it yet.
      if (!this.#closed && !this.#writing && this.#preamble !== null) this.#write(this.#takePrelude()[0]!)
    }
  }

  #takePage(page: HistoryPage): void {
    const { counters } = this.#around
    const bytes = page.slab.framesAfter(this.#cursor)
    counters.pages++
    if (bytes !== null) {
      counters.messages += page.slab.countAfter(this.#cursor)
      this.#lastSent = page.slab.last
    }
    this.#cursor = Math.max(this.#cursor, page.through)
    // An empty page leads on to the next one, unless the reader still waits for its first bytes.
    if (bytes === null && this.#preamble === null) this.sendPending()
    else this.#send(bytes)
  }
}
