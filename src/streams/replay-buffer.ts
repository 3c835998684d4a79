/** Initial size in bytes; small, so that ten thousand quiet channels stay cheap. */
const MIN_BYTES = 4 * 1024
/** Maximum size in bytes. Beyond it the oldest half is dropped; subscribers that need it read the store. */
const MAX_BYTES = 256 * 1024

/** All events after a cursor. */
export interface Frames {
  readonly bytes: Buffer
  /** Number of events. */
  readonly count: number
}

/**
 * SSE events in one contiguous buffer, with an index of their db_ids: everything after a cursor is one `subarray`, regardless of the number
 * of messages. It has every message of its filter with `startsAfter < db_id <= last`.
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
  readonly #maxBytes: number
  /** Result of the last `framesAfter`, which all subscribers of a broadcast ask for. */
  #lastResult: { readonly cursor: number; readonly frames: Frames | null } | null = null

  /** @param from messages up to this db_id are not in the buffer */
  constructor(from: number, maxBytes = MAX_BYTES) {
    this.#startsAfter = from
    this.#maxBytes = maxBytes
    this.#buffer = Buffer.alloc(0)
  }

  get startsAfter(): number {
    return this.#startsAfter
  }

  /** db_id of the last event, or `startsAfter` if there is none. */
  get last(): number {
    return this.#ids.length === 0 ? this.#startsAfter : this.#ids[this.#ids.length - 1]!
  }

  /** Allocated memory in bytes. */
  get bytes(): number {
    return this.#buffer.length
  }

  get frames(): number {
    return this.#ids.length
  }

  /** Appends an event. Ids must increase; an event whose id is not greater than `last` is already known and ignored. */
  append(db_id: number, frame: Buffer): void {
    if (db_id <= this.last) return
    if (this.#used + frame.length > this.#buffer.length) this.#grow(frame.length)
    this.#lastResult = null
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

  /** Frees the memory. Subscribers that have not received everything read the store. */
  clear(): void {
    this.discardThrough(this.last)
  }

  /** Drops all events up to this db_id; subscribers that need them read the store. Does nothing if there are later events. */
  discardThrough(db_id: number): void {
    if (db_id < this.last) return
    this.#startsAfter = db_id
    this.#lastResult = null
    this.#buffer = Buffer.alloc(0)
    this.#used = 0
    this.#ids = []
    this.#ends = []
  }

  #findFrames(cursor: number): Frames | null {
    const index = this.#indexAfter(cursor)
    const count = this.#ids.length - index
    if (count === 0) return null
    return { bytes: this.#buffer.subarray(index === 0 ? 0 : this.#ends[index - 1]!, this.#used), count }
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

  #grow(bytes: number): void {
    const isFull = this.#used + bytes > this.#maxBytes
    const offset = isFull ? this.#dropOldest(this.#maxBytes / 2) : 0
    const keptBytes = this.#used - offset
    const capacity = Math.max(MIN_BYTES, 2 * keptBytes, keptBytes + bytes)
    // A single event can be larger than the maximum size, and must still fit.
    const next = Buffer.allocUnsafeSlow(Math.max(Math.min(capacity, this.#maxBytes), keptBytes + bytes))
    this.#buffer.copy(next, 0, offset, this.#used)
    this.#buffer = next
    this.#used = keptBytes
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
