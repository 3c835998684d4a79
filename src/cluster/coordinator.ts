/**
 * State that all workers share: tickets, numbers of open streams, and publish rates. It is held by the process itself,
 * or with several workers by the primary, which the workers query. Pure: the time is passed with each request, and no
 * request waits for another.
 */

/** A request. Keys are chosen by the caller; times are in milliseconds. */
export type CoordinatorRequest =
  /** Stores a value under an id for a limited time. */
  | { readonly do: 'put'; readonly id: string; readonly value: string; readonly ms: number }
  /** Returns and removes the value of an id. */
  | { readonly do: 'take'; readonly id: string }
  /** Increments the counter of each key, or none of them if one is at its limit. */
  | { readonly do: 'acquire'; readonly keys: readonly (readonly [key: string, limit: number])[] }
  /** Decrements the counter of each key. */
  | { readonly do: 'release'; readonly keys: readonly string[] }
  /** Takes tokens from a bucket that refills at `rate` per second up to `burst`. */
  | {
      readonly do: 'consume'
      readonly key: string
      readonly amount: number
      readonly rate: number
      readonly burst: number
    }

export interface CoordinatorResponse {
  readonly ok: boolean
  readonly value?: string
  /** The key that has reached its limit. */
  readonly key?: string
  /** Time to wait before a retry, in milliseconds. */
  readonly waitMs?: number
}

/**
 * Sends a request to the coordinator, local or in the primary.
 *
 * @throws GatewayError overloaded if it does not reply in time
 */
export type CoordinatorClient = (request: CoordinatorRequest) => Promise<CoordinatorResponse>

interface TokenBucket {
  tokens: number
  at: number
  readonly rate: number
  readonly burst: number
}

const OK: CoordinatorResponse = { ok: true }
const REJECTED: CoordinatorResponse = { ok: false }

/** Maximum number of stored values; more are refused, to limit memory. */
const MAX_ENTRIES = 100_000
/** Full buckets are deleted after this many requests. */
const SWEEP_EVERY = 1_000

export class Coordinator {
  /** In order of expiry, since all are stored for the same time. */
  readonly #entries = new Map<string, { readonly value: string; readonly end: number }>()
  readonly #counts = new Map<string, number>()
  /** Counts by owner, so that those of a worker that exits can be released. */
  readonly #countsByOwner = new Map<number, Map<string, number>>()
  readonly #buckets = new Map<string, TokenBucket>()
  #sinceSweep = 0

  /**
   * @param owner id of the worker that sent the request; counters are attributed to it
   * @param now time of a monotonic clock, in milliseconds
   */
  handle(request: CoordinatorRequest, owner: number, now: number): CoordinatorResponse {
    switch (request.do) {
      case 'put':
        return this.#put(request.id, request.value, now, request.ms)
      case 'take':
        return this.#take(request.id, now)
      case 'acquire':
        return this.#acquire(request.keys, owner)
      case 'release':
        for (const key of request.keys) this.#add(key, owner, -1)
        return OK
      case 'consume':
        return this.#consume(request, now)
    }
  }

  /** Releases everything that was counted for an owner that has exited. */
  releaseOwner(owner: number): void {
    for (const [key, count] of this.#countsByOwner.get(owner) ?? []) this.#adjust(this.#counts, key, -count)
    this.#countsByOwner.delete(owner)
  }

  /** Number of stored values, counters and buckets, for tests that check for leaks. */
  get size(): number {
    return this.#entries.size + this.#counts.size + this.#buckets.size
  }

  #put(id: string, value: string, now: number, ms: number): CoordinatorResponse {
    for (const [oldest, { end }] of this.#entries) {
      if (end > now) break
      this.#entries.delete(oldest)
    }
    if (this.#entries.size >= MAX_ENTRIES) return REJECTED
    this.#entries.set(id, { value, end: now + ms })
    return OK
  }

  #take(id: string, now: number): CoordinatorResponse {
    const entry = this.#entries.get(id)
    this.#entries.delete(id)
    return entry === undefined || entry.end <= now ? REJECTED : { ok: true, value: entry.value }
  }

  #acquire(keys: readonly (readonly [string, number])[], owner: number): CoordinatorResponse {
    const exhausted = keys.find(([key, limit]) => (this.#counts.get(key) ?? 0) >= limit)
    if (exhausted !== undefined) return { ok: false, key: exhausted[0] }
    for (const [key] of keys) this.#add(key, owner, 1)
    return OK
  }

  #add(key: string, owner: number, delta: number): void {
    let owned = this.#countsByOwner.get(owner)
    if (owned === undefined) this.#countsByOwner.set(owner, (owned = new Map()))
    // A late request of an owner that was released must not reduce the counts of others.
    if (delta < 0 && !owned.has(key)) return
    this.#adjust(owned, key, delta)
    this.#adjust(this.#counts, key, delta)
  }

  #adjust(counts: Map<string, number>, key: string, delta: number): void {
    const count = (counts.get(key) ?? 0) + delta
    if (count > 0) counts.set(key, count)
    else counts.delete(key)
  }

  #consume(
    { key, amount, rate, burst }: Extract<CoordinatorRequest, { do: 'consume' }>,
    now: number,
  ): CoordinatorResponse {
    this.#sweep(now)
    const bucket = this.#buckets.get(key)
    const tokens = bucket === undefined ? burst : availableTokens(bucket, now)
    // A request larger than the bucket is accepted when the bucket is full; the level then becomes negative.
    const needed = Math.min(amount, burst)
    if (tokens < needed) return { ok: false, key, waitMs: ((needed - tokens) / rate) * 1_000 }
    this.#buckets.set(key, { tokens: tokens - amount, at: now, rate, burst })
    return OK
  }

  #sweep(now: number): void {
    if (++this.#sinceSweep < SWEEP_EVERY) return
    this.#sinceSweep = 0
    for (const [key, bucket] of this.#buckets)
      if (availableTokens(bucket, now) >= bucket.burst) this.#buckets.delete(key)
  }
}

const availableTokens = ({ tokens, at, rate, burst }: TokenBucket, now: number): number =>
  Math.min(burst, tokens + ((now - at) / 1_000) * rate)

/** Creates the coordinator of a process without other workers. */
export const createLocalCoordinator = (): CoordinatorClient => {
  const coordinator = new Coordinator()
  return async (request) => coordinator.handle(request, 0, performance.now())
}
