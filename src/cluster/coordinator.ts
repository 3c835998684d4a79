/**
 * State that all workers share: tickets, numbers of open streams, and publish rates. It is held by the process itself,
 * or with several workers by the primary, which the workers query. Pure: the time is passed with each request, and no
 * request waits for another.
 */

/** A request. Keys are chosen by the caller; times are in milliseconds. */
export type CoordinatorRequest =
  /** Stores a value under an id for a limited time. */
  | { readonly do: 'keep'; readonly id: string; readonly value: string; readonly ms: number }
  /** Returns and removes the value of an id. */
  | { readonly do: 'take'; readonly id: string }
  /** Increments the counter of each key, or none of them if one is at its limit. */
  | { readonly do: 'enter'; readonly keys: readonly (readonly [key: string, limit: number])[] }
  /** Decrements the counter of each key. */
  | { readonly do: 'leave'; readonly keys: readonly string[] }
  /** Takes tokens from a bucket that refills at `rate` per second up to `burst`. */
  | {
      readonly do: 'spend'
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
export type CoordinatorClient = (ask: CoordinatorRequest) => Promise<CoordinatorResponse>

interface TokenBucket {
  tokens: number
  at: number
  readonly rate: number
  readonly burst: number
}

const OK: CoordinatorResponse = { ok: true }
const NO: CoordinatorResponse = { ok: false }

/** Maximum number of stored values; more are refused, to limit memory. */
const MAX_KEPT = 100_000
/** Full buckets are deleted after this many requests. */
const SWEEP_EVERY = 1_000

export class Coordinator {
  /** In order of expiry, since all are stored for the same time. */
  readonly #kept = new Map<string, { readonly value: string; readonly end: number }>()
  readonly #counts = new Map<string, number>()
  /** Counts by owner, so that those of a worker that exits can be released. */
  readonly #holders = new Map<number, Map<string, number>>()
  readonly #buckets = new Map<string, TokenBucket>()
  #unswept = 0

  /**
   * @param owner id of the worker that sent the request; counters are attributed to it
   * @param now time of a monotonic clock, in milliseconds
   */
  answer(ask: CoordinatorRequest, owner: number, now: number): CoordinatorResponse {
    switch (ask.do) {
      case 'keep':
        return this.#keep(ask.id, ask.value, now, ask.ms)
      case 'take':
        return this.#take(ask.id, now)
      case 'enter':
        return this.#enter(ask.keys, owner)
      case 'leave':
        for (const key of ask.keys) this.#add(key, owner, -1)
        return OK
      case 'spend':
        return this.#spend(ask, now)
    }
  }

  /** Releases everything that was counted for an owner that has exited. */
  releaseOwner(owner: number): void {
    for (const [key, count] of this.#holders.get(owner) ?? []) this.#change(this.#counts, key, -count)
    this.#holders.delete(owner)
  }

  /** Number of stored values, counters and buckets, for tests that check for leaks. */
  get size(): number {
    return this.#kept.size + this.#counts.size + this.#buckets.size
  }

  #keep(id: string, value: string, now: number, ms: number): CoordinatorResponse {
    for (const [oldest, { end }] of this.#kept) {
      if (end > now) break
      this.#kept.delete(oldest)
    }
    if (this.#kept.size >= MAX_KEPT) return NO
    this.#kept.set(id, { value, end: now + ms })
    return OK
  }

  #take(id: string, now: number): CoordinatorResponse {
    const kept = this.#kept.get(id)
    this.#kept.delete(id)
    return kept === undefined || kept.end <= now ? NO : { ok: true, value: kept.value }
  }

  #enter(keys: readonly (readonly [string, number])[], owner: number): CoordinatorResponse {
    const full = keys.find(([key, limit]) => (this.#counts.get(key) ?? 0) >= limit)
    if (full !== undefined) return { ok: false, key: full[0] }
    for (const [key] of keys) this.#add(key, owner, 1)
    return OK
  }

  #add(key: string, owner: number, by: number): void {
    let own = this.#holders.get(owner)
    if (own === undefined) this.#holders.set(owner, (own = new Map()))
    // A late request of an owner that was released must not reduce the counts of others.
    if (by < 0 && !own.has(key)) return
    this.#change(own, key, by)
    this.#change(this.#counts, key, by)
  }

  #change(counts: Map<string, number>, key: string, by: number): void {
    const count = (counts.get(key) ?? 0) + by
    if (count > 0) counts.set(key, count)
    else counts.delete(key)
  }

  #spend({ key, amount, rate, burst }: Extract<CoordinatorRequest, { do: 'spend' }>, now: number): CoordinatorResponse {
    this.#sweep(now)
    const known = this.#buckets.get(key)
    const tokens = known === undefined ? burst : levelOf(known, now)
    // A request larger than the bucket is accepted when the bucket is full; the level then becomes negative.
    const needed = Math.min(amount, burst)
    if (tokens < needed) return { ok: false, key, waitMs: ((needed - tokens) / rate) * 1_000 }
    this.#buckets.set(key, { tokens: tokens - amount, at: now, rate, burst })
    return OK
  }

  #sweep(now: number): void {
    if (++this.#unswept < SWEEP_EVERY) return
    this.#unswept = 0
    for (const [key, bucket] of this.#buckets) if (levelOf(bucket, now) >= bucket.burst) this.#buckets.delete(key)
  }
}

const levelOf = ({ tokens, at, rate, burst }: TokenBucket, now: number): number =>
  Math.min(burst, tokens + ((now - at) / 1_000) * rate)

/** Creates the coordinator of a process without other workers. */
export const createLocalCoordinator = (): CoordinatorClient => {
  const desk = new Coordinator()
  return async (ask) => desk.answer(ask, 0, performance.now())
}
