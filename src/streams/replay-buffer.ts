/** A slab starts this small, so that ten thousand quiet channels stay cheap. */
const MIN_BYTES = 4 * 1024
/** Beyond this the oldest half is given up; who needs it reads the log. */
const MAX_BYTES = 256 * 1024

/**
 * SSE frames in one contiguous buffer with an index of their db_ids: what lies behind a cursor is one
 * `subarray`, however many messages that is. It holds every message of its selection with
 * `from < db_id <= last`.
 *
 * Bytes once handed out are never written over, because sockets may still hold them: the buffer only grows
 * at its end, and is left behind for a new one when it is full.
 */
export class ReplayBuffer {
  #buffer: Buffer
  #used = 0
  #startsAfter: number
  /** Ascending. */
  #ids: number[] = []
  /** End offset of each frame. */
  #ends: number[] = []
  readonly #mostBytes: number

  /** @param from everything up to this db_id is not in here */
  constructor(from: number, mostBytes = MAX_BYTES) {
    this.#startsAfter = from
    this.#mostBytes = mostBytes
    this.#buffer = Buffer.alloc(0)
  }

  get startsAfter(): number {
    return this.#startsAfter
  }

  /** The db_id of the last frame; `from` while there is none. */
  get last(): number {
    return this.#ids.length === 0 ? this.#startsAfter : this.#ids[this.#ids.length - 1]!
  }

  /** Bytes of memory that the slab holds. */
  get bytes(): number {
    return this.#buffer.length
  }

  get frames(): number {
    return this.#ids.length
  }

  /** Adds a frame. Ids must rise; one that is not above `last` is known already and left out. */
  append(db_id: number, frame: Buffer): void {
    if (db_id <= this.last) return
    if (this.#used + frame.length > this.#buffer.length) this.#makeRoom(frame.length)
    frame.copy(this.#buffer, this.#used)
    this.#used += frame.length
    this.#ids.push(db_id)
    this.#ends.push(this.#used)
  }

  /** All frames behind a cursor, which must not lie before `from`. @returns null when there are none */
  framesAfter(cursor: number): Buffer | null {
    const index = this.#indexAfter(cursor)
    if (index === this.#ids.length) return null
    return this.#buffer.subarray(index === 0 ? 0 : this.#ends[index - 1]!, this.#used)
  }

  /** How many frames `after` gives for this cursor. */
  countAfter(cursor: number): number {
    return this.#ids.length - this.#indexAfter(cursor)
  }

  /** Gives the memory back. Who is not at the end yet reads the log. */
  clear(): void {
    this.discardThrough(this.last)
  }

  /** Holds nothing up to this db_id, nor anything before: who wants it reads the log. */
  discardThrough(db_id: number): void {
    if (db_id < this.last) return
    this.#startsAfter = db_id
    this.#buffer = Buffer.alloc(0)
    this.#used = 0
    this.#ids = []
    this.#ends = []
  }

  /** The index of the first frame behind a cursor. */
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

  #makeRoom(bytes: number): void {
    const full = this.#used + bytes > this.#mostBytes
    const cut = full ? this.#dropOldest(this.#mostBytes / 2) : 0
    const kept = this.#used - cut
    const wanted = Math.max(MIN_BYTES, 2 * kept, kept + bytes)
    // A single frame may be larger than a slab is meant to be; it still has to be carried.
    const next = Buffer.allocUnsafeSlow(Math.max(Math.min(wanted, this.#mostBytes), kept + bytes))
    this.#buffer.copy(next, 0, cut, this.#used)
    this.#buffer = next
    this.#used = kept
  }

  /** Forgets the oldest frames until at most `keep` bytes are left. @returns the offset where the rest begins */
  #dropOldest(keep: number): number {
    const least = this.#used - keep
    let index = 0
    while (index < this.#ends.length && this.#ends[index]! < least) index++
    if (index >= this.#ends.length - 1) index = this.#ends.length - 1
    if (index < 0) return 0
    const cut = this.#ends[index]!
    this.#startsAfter = this.#ids[index]!
    this.#ids = this.#ids.slice(index + 1)
    this.#ends = this.#ends.slice(index + 1).map((end) => end - cut)
    return cut
  }
}
