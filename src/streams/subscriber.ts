import { type ClosingReason, encodeCaughtUpEvent, encodeClosingEvent } from '../core/sse.ts'
import type { StreamChannel } from './channel.ts'
import type { HistoryPage } from './history-cache.ts'
import type { Frames } from './replay-buffer.ts'

/** Destination of the bytes of a subscriber, usually a socket. */
export interface StreamSink {
  /**
   * Writes bytes.
   *
   * @param done called later if bytes remain in this process, once they have left it; a sink that is closed never calls it
   * @returns true if all of them have left this process
   */
  write(bytes: Buffer, done: () => void): boolean
  /** A number that changes whenever the client has accepted data. */
  readonly progress: number
  /** Ends the stream after the previous writes and `last`; nothing may be written afterwards. */
  end(last: Buffer): void
}

/** Totals over all subscribers since the start. Plain numbers, since they are updated at each write. */
export interface SendCounters {
  /** Messages sent. */
  messages: number
  /** Bytes sent, of messages and of all other SSE events. */
  bytes: number
  /** Pages of history sent. */
  pages: number
}

/** State of a subscriber; see Subscriber. */
export type SubscriberState = 'live' | 'catching_up' | 'stalled'

/** Dependencies of a subscriber, shared by all subscribers of a channel. */
export interface SubscriberContext {
  readonly channel: StreamChannel
  readonly counters: SendCounters
  /** Returns the db_id up to which everything has been offered to all channels. */
  readonly tailPosition: () => number
  readonly history: (cursor: number) => Promise<HistoryPage>
  /** Called when a write remains pending, and when it completes. */
  readonly onBlocked: (subscriber: Subscriber, blocked: boolean) => void
  /** Called when a page could not be read; calling `sendPending` later retries. */
  readonly onFault: (subscriber: Subscriber, error: unknown) => void
}

export interface SubscriberOptions {
  readonly sink: StreamSink
  /** Messages with a greater db_id are sent. */
  readonly cursor: number
  /** `caught_up` is sent once everything up to this db_id has been sent. */
  readonly caughtUpAt: number
  /** Bytes sent before anything else, in one write with the first page: HTTP head, hello, reset. */
  readonly preamble: Buffer
}

/**
 * Sends the messages after a cursor to a sink. At most one write is pending, so a slow client costs one page of memory (S1), and nothing
 * else is buffered for it, since the cursor marks where to continue. Messages come from the replay buffer if it has everything after the
 * cursor, otherwise from the store. This rule applies to every write, so there is no switch from history to live messages.
 *
 * States:
 * - `catching_up`: `caught_up` is not sent yet, or the replay buffer no longer has everything after the cursor. Initial state.
 * - `live`: `caught_up` is sent, and the replay buffer has everything after the cursor.
 * - `stalled`: bytes of the last write are still in this process.
 * - closed: nothing is written any more. Final, and not a value of `state`, since the hub then drops the subscriber.
 *
 * Transitions:
 * - `catching_up` → `live`: everything in the replay buffer is sent, and the cursor or the tailer has reached `caughtUpAt`, so that
 *   `caught_up` is written; if it was written before, as soon as the cursor reaches the replay buffer again.
 * - `live` → `catching_up`: the replay buffer has dropped messages after the cursor.
 * - `catching_up` or `live` → `stalled`: the sink has not passed on a write when `write` returns.
 * - `stalled` → `live` or `catching_up`: the sink calls `done`. The cursor determines which; `sendPending` then continues.
 * - any → closed: `close` or `onSinkClosed` is called.
 */
export class Subscriber {
  /** Index in the channel's list, maintained by the channel. */
  index = -1
  readonly #sink: StreamSink
  readonly #context: SubscriberContext
  readonly #caughtUpAt: number
  #cursor: number
  #lastSent: number
  #preamble: Buffer | null
  /** Bytes of the last write are still in this process. */
  #blocked = false
  #reading = false
  #caughtUp = false
  #closed = false

  constructor(options: SubscriberOptions, context: SubscriberContext) {
    this.#sink = options.sink
    this.#context = context
    this.#cursor = options.cursor
    this.#lastSent = options.cursor
    this.#caughtUpAt = options.caughtUpAt
    this.#preamble = options.preamble
  }

  /** The db_id up to which everything has been sent. */
  get cursor(): number {
    return this.#cursor
  }

  get state(): SubscriberState {
    if (this.#blocked) return 'stalled'
    return this.#caughtUp && this.#cursor >= this.channel.buffer.startsAfter ? 'live' : 'catching_up'
  }

  get channel(): StreamChannel {
    return this.#context.channel
  }

  get sink(): StreamSink {
    return this.#sink
  }

  /** Sends the messages after the cursor if no write or page read is pending. Cheap if there are none. */
  sendPending(): void {
    if (this.#blocked || this.#reading || this.#closed) return
    if (!this.#withinBuffer) {
      void this.#readPage()
      return
    }
    const { counters, channel } = this.#context
    const { buffer } = channel
    const frames = buffer.framesAfter(this.#cursor)
    if (frames !== null) {
      counters.messages += frames.count
      this.#cursor = frames.through
      this.#lastSent = frames.through
    }
    this.#send(frames)
  }

  /** Sends a heartbeat unless a write is pending. */
  heartbeat(frame: Buffer): void {
    if (!this.#blocked && !this.#closed && this.#preamble === null) this.#write(frame)
  }

  /** Ends the stream with a `closing` event. @param retryMs new reconnection delay of the client, or null if it does not change */
  close(reason: ClosingReason, retryMs: number | null = null): void {
    if (this.#closed) return
    this.#closed = true
    this.#sink.end(Buffer.concat([...this.#takePreamble(), encodeClosingEvent(reason, retryMs)]))
  }

  /** Called when the sink has closed: nothing is written any more (S2). */
  onSinkClosed(): void {
    this.#closed = true
    this.#unblock()
  }

  /** True if the replay buffer has everything after the cursor. */
  get #withinBuffer(): boolean {
    const { channel, tailPosition } = this.#context
    // Before `caught_up` the target also counts: the tailer may not have read as far as `hello` has announced.
    const hasReachedTail = this.#caughtUp || this.#cursor >= this.#caughtUpAt || tailPosition() >= this.#caughtUpAt
    return hasReachedTail && this.#cursor >= channel.buffer.startsAfter
  }

  #takePreamble(): Buffer[] {
    const preamble = this.#preamble
    this.#preamble = null
    return preamble === null ? [] : [preamble]
  }

  /** Writes messages, preceded by the preamble and followed by `caught_up` if they are due, in a single system call. */
  #send(messages: Frames | null): void {
    if (messages !== null && this.#caughtUp) {
      this.#write(messages.bytes)
      return
    }
    const parts = this.#takePreamble()
    if (messages !== null) parts.push(messages.bytes)
    if (!this.#caughtUp && this.#withinBuffer && this.#cursor >= this.#context.channel.buffer.last) {
      this.#caughtUp = true
      parts.push(encodeCaughtUpEvent(this.#lastSent))
    }
    if (parts.length > 0) this.#write(parts.length === 1 ? parts[0]! : Buffer.concat(parts))
  }

  #write(bytes: Buffer): void {
    this.#context.counters.bytes += bytes.length
    if (this.#sink.write(bytes, this.#onWritten)) {
      this.#continue()
      return
    }
    this.#blocked = true
    this.#context.onBlocked(this, true)
  }

  readonly #onWritten = (): void => {
    this.#unblock()
    this.#continue()
  }

  /** Sends what follows a write that is complete. */
  #continue(): void {
    const { buffer } = this.#context.channel
    // Yield, since writing page after page would block the event loop.
    if (this.#cursor < buffer.startsAfter) setImmediate(this.#sendLater)
    else if (!this.#caughtUp || this.#cursor < buffer.last) this.sendPending()
  }

  readonly #sendLater = (): void => this.sendPending()

  #unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    this.#context.onBlocked(this, false)
  }

  async #readPage(): Promise<void> {
    this.#reading = true
    try {
      const page = await this.#context.history(this.#cursor)
      this.#reading = false
      // If a heartbeat is pending, its completion calls `sendPending` again, and the page is then in the cache.
      if (!this.#closed && !this.#blocked) this.#sendPage(page)
    } catch (error) {
      this.#reading = false
      this.#context.onFault(this, error)
      // Send the preamble, so that the client detects the connection although there is no data yet.
      if (!this.#closed && !this.#blocked && this.#preamble !== null) this.#write(this.#takePreamble()[0]!)
    }
  }

  #sendPage(page: HistoryPage): void {
    const { counters } = this.#context
    const frames = page.buffer.framesAfter(this.#cursor)
    counters.pages++
    if (frames !== null) {
      counters.messages += frames.count
      this.#lastSent = page.buffer.last
    }
    this.#cursor = Math.max(this.#cursor, page.through)
    // An empty page is followed by the next one, unless the client has not received its first bytes yet.
    if (frames === null && this.#preamble === null) this.sendPending()
    else this.#send(frames)
  }
}
