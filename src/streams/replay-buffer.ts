/** Initial size in bytes; small, so that ten thousand quiet channels stay cheap. */
const MIN_BYTES = 4 * 1024
/** Maximum size in bytes. Beyond it the oldest half is dropped; subscribers that need it read the store. */
const MAX_BYTES = 256 * 1024

/** Maximum memory of the replay buffers of all channels, in bytes. Beyond it each channel keeps MIN_BYTES. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024

/** Memory of several replay buffers together. */
export interface ReplayMemory {
  bytes: number
}

/** The next events after a cursor. */
export interface Frames {
  readonly bytes: Buffer
  /** Number of events. */
  readonly count: number
  /** db_id of the last one. */
  readonly through: number
}

/**
 * SSE events in one contiguous buffer, with an index of their db_ids: everything after a cursor is one `subarray`, regardless of the number
 * of messages. It has every message of its filter with `startsAfter < db_id <= last`. A last event that is too large for the buffer is not
 * copied, since the channels share its bytes.
 *
 * Bytes that were returned are never overwritten, since sockets may still use them: the buffer only grows at its end, and is replaced by a
 * new one when it is full.
 */
export class ReplayBuffer {
  #buffer: Buffer
  #used = 0
  #startsAfter: number
  /** In ascending order. */
  #ids: number[] = []
  /** End offset of each event. */
  #ends: number[] = []
  /** An event after those in the buffer, which is too large for it. */
  #large: { readonly db_id: number; readonly frame: Buffer } | null = null
  readonly #maxBytes: number
  readonly #memory: ReplayMemory | null
  /** Result of the last `framesAfter`, which all subscribers of a broadcast ask for. */
  #lastResult: { readonly cursor: number; readonly frames: Frames | null } | null = null

  /**
   * @param from messages up to this db_id are not in the buffer
   * @param memory shared with other buffers, whose sum is limited; null if this one stands for itself
   */
  constructor(from: number, maxBytes = MAX_BYTES, memory: ReplayMemory | null = null) {
    this.#startsAfter = from
    this.#maxBytes = maxBytes
    this.#memory = memory
    this.#buffer = Buffer.alloc(0)
  }

  get startsAfter(): number {
    return this.#startsAfter
  }

  /** db_id of the last event, or `startsAfter` if there is none. */
  get last(): number {
    if (this.#large !== null) return this.#large.db_id
    return this.#ids.length === 0 ? this.#startsAfter : this.#ids[this.#ids.length - 1]!
  }

  /** Allocated memory in bytes, without an event that is shared. */
  get bytes(): number {
    return this.#buffer.length
  }

  get frames(): number {
    return this.#ids.length + (this.#large === null ? 0 : 1)
  }

  /** Appends an event. Ids must increase; an event whose id is not greater than `last` is already known and ignored. */
  append(db_id: number, frame: Buffer): void {
    if (db_id <= this.last) return
    if (this.#large !== null) this.clear()
    this.#lastResult = null
    if (this.#used + frame.length > this.#buffer.length && !this.#grow(frame.length)) {
      this.#large = { db_id, frame }
      return
    }
    frame.copy(this.#buffer, this.#used)
    this.#used += frame.length
    this.#ids.push(db_id)
    this.#ends.push(this.#used)
  }

  /** @param cursor not before `startsAfter` @returns null if there are no events after it */
  framesAfter(cursor: number): Frames | null {
    if (this.#lastResult === null || this.#lastResult.cursor !== cursor)
      this.#lastResult = { cursor, frames: this.#findFrames(cursor) }
    return this.#lastResult.frames
  }

  /** Frees an event that is too large for the buffer, and those before it. */
  releaseLarge(): void {
    if (this.#large !== null) this.clear()
  }

  /** Frees the memory. Subscribers that have not received everything read the store. */
  clear(): void {
    this.discardThrough(this.last)
  }

  /** Drops all events up to this db_id; subscribers that need them read the store. Does nothing if there are later events. */
  discardThrough(db_id: number): void {
    if (db_id < this.last) return
    this.#startsAfter = db_id
    this.#lastResult = null
    this.#large = null
    this.#setBuffer(Buffer.alloc(0))
    this.#used = 0
    this.#ids = []
    this.#ends = []
  }

  #findFrames(cursor: number): Frames | null {
    const index = this.#indexAfter(cursor)
    const count = this.#ids.length - index
    if (count > 0) {
      const bytes = this.#buffer.subarray(index === 0 ? 0 : this.#ends[index - 1]!, this.#used)
      return { bytes, count, through: this.#ids[this.#ids.length - 1]! }
    }
    if (this.#large === null || this.#large.db_id <= cursor) return null
    return { bytes: this.#large.frame, count: 1, through: this.#large.db_id }
  }

  /** Returns the index of the first event after a cursor. */
  #indexAfter(cursor: number): number {
    let low = 0
    let high = this.#ids.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ids[middle]! <= cursor) low = middle + 1
      else high = middle
    }
    return low
  }

  /** @returns false if the buffer may not become large enough */
  #grow(bytes: number): boolean {
    const isScarce = this.#memory !== null && this.#memory.bytes >= MAX_TOTAL_BYTES
    const maxBytes = isScarce ? MIN_BYTES : this.#maxBytes
    if (bytes > maxBytes) return false
    const isFull = this.#used + bytes > maxBytes
    const offset = isFull ? this.#dropOldest(maxBytes / 2) : 0
    const keptBytes = this.#used - offset
    const capacity = Math.max(MIN_BYTES, 2 * keptBytes, keptBytes + bytes)
    const next = Buffer.allocUnsafeSlow(Math.max(Math.min(capacity, maxBytes), keptBytes + bytes))
    this.#buffer.copy(next, 0, offset, this.#used)
    this.#setBuffer(next)
    this.#used = keptBytes
    return true
  }

  #setBuffer(buffer: Buffer): void {
    if (this.#memory !== null) this.#memory.bytes += buffer.length - this.#buffer.length
    this.#buffer = buffer
  }

  /** Drops the oldest events until at most `maxKept` bytes are left. @returns the offset where the rest begins */
  #dropOldest(maxKept: number): number {
    const minOffset = this.#used - maxKept
    let index = 0
    while (index < this.#ends.length && this.#ends[index]! < minOffset) index++
    if (index >= this.#ends.length - 1) index = this.#ends.length - 1
    if (index < 0) return 0
    const offset = this.#ends[index]!
    this.#startsAfter = this.#ids[index]!
    this.#ids = this.#ids.slice(index + 1)
    this.#ends = this.#ends.slice(index + 1).map((end) => end - offset)
    return offset
  }
}
