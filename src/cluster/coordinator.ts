/**
 * What all workers share, kept in one place: tickets that are given out, streams that are counted, and how much was
 * published. With one process that place is the process itself; with workers it is the primary, which each of them
 * asks. Pure: the clock comes with each question, and no question waits for another.
 */

/** A question. Keys are chosen by the asker; times in milliseconds. */
export type CoordinatorRequest =
  /** Keeps a value under an id for a while. */
  | { readonly do: 'keep'; readonly id: string; readonly value: string; readonly ms: number }
  /** Gives the value of an id, once. */
  | { readonly do: 'take'; readonly id: string }
  /** Counts one more under each key, or under none if one of them is at its limit. */
  | { readonly do: 'enter'; readonly keys: readonly (readonly [key: string, limit: number])[] }
  /** Counts one less under each key. */
  | { readonly do: 'leave'; readonly keys: readonly string[] }
  /** Takes from a bucket that fills at `rate` a second up to `burst`. */
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
  /** The key that is at its limit. */
  readonly key?: string
  /** When to ask again, in milliseconds. */
  readonly waitMs?: number
}

/** Asks the desk, wherever it is. @throws GatewayError overloaded when it does not answer */
export type CoordinatorClient = (ask: CoordinatorRequest) => Promise<CoordinatorResponse>

interface TokenBucket {
  tokens: number
  at: number
  readonly rate: number
  readonly burst: number
}

const OK: CoordinatorResponse = { ok: true }
const NO: CoordinatorResponse = { ok: false }

/** Values kept at once; more are refused rather than the memory filled. */
const MAX_KEPT = 100_000
/** Full buckets are dropped when so many have come since the last look. */
const SWEEP_EVERY = 1_000

export class Coordinator {
  /** In the order of their end, as all are kept equally long. */
  readonly #kept = new Map<string, { readonly value: string; readonly end: number }>()
  readonly #counts = new Map<string, number>()
  /** What each holder has counted, so that one that dies takes its share with it. */
  readonly #holders = new Map<number, Map<string, number>>()
  readonly #buckets = new Map<string, TokenBucket>()
  #unswept = 0

  /**
   * @param owner who asks: what it has entered is counted as its own
   * @param now milliseconds of a clock that never goes back
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

  /** The holder is gone, and with it what it held. */
  releaseOwner(owner: number): void {
    for (const [key, count] of this.#holders.get(owner) ?? []) this.#change(this.#counts, key, -count)
    this.#holders.delete(owner)
  }

  /** Keys, values and buckets at hand, for tests of what is left behind. */
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
    // A late word of a holder that was dropped must not take from the others.
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
    // More than the bucket ever holds is let through when it is full, and then owed.
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

/** The desk of a process without siblings. */
export const createLocalCoordinator = (): CoordinatorClient => {
  const desk = new Coordinator()
  return async (ask) => desk.answer(ask, 0, performance.now())
}
