import { GatewayError } from '../core/errors.ts'
import type { MessageSearch, SearchPage, SearchQuery } from '../store/search/search.ts'

/** Searches that wait at most, of one caller and of all. */
const MAX_WAITING_PER_CALLER = 4
const MAX_WAITING = 128
const RETRY_AFTER_MS = 5_000

export interface SearchCaller {
  /** The token, or the address if there is none; null for callers without a limit of their own. */
  readonly owner: string | null
  /** Aborted when the client has disconnected. */
  readonly signal: AbortSignal
}

const overloaded = (message: string): GatewayError =>
  new GatewayError('overloaded', message, {
    hint: 'Wait for the answer of one search before the next one.',
    retryAfterMs: RETRY_AFTER_MS,
  })

const disconnected = (): GatewayError => new GatewayError('request_aborted', 'The client has disconnected.')

/** The searches of one worker. A few run at a time, of each caller in turn, so that no caller can keep the others waiting. */
export class SearchQueue {
  readonly #search: MessageSearch
  /** Functions that start the waiting searches, by owner; the next one is the first of the first owner. */
  readonly #waiting = new Map<string, Set<() => void>>()
  #waitingCount = 0
  #running = 0

  constructor(search: MessageSearch) {
    this.#search = search
  }

  /** @throws GatewayError overloaded, request_aborted if the client disconnects, or the errors of the search */
  async search(query: SearchQuery, { owner, signal }: SearchCaller): Promise<SearchPage> {
    if (signal.aborted) throw disconnected()
    if (this.#running < this.#search.maxConcurrent) this.#running++
    else await this.#waitForTurn(owner, signal)
    try {
      return await this.#search.search(query, signal)
    } finally {
      this.#running--
      this.#startNext()
    }
  }

  #waitForTurn(owner: string | null, signal: AbortSignal): Promise<void> {
    const key = owner ?? ''
    const ownCount = this.#waiting.get(key)?.size ?? 0
    if (owner !== null && ownCount >= MAX_WAITING_PER_CALLER) {
      throw overloaded(`${MAX_WAITING_PER_CALLER} searches of this caller are waiting already.`)
    }
    if (this.#waitingCount >= MAX_WAITING) throw overloaded(`${MAX_WAITING} searches are waiting already.`)
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        if (this.#remove(key, resolve)) reject(disconnected())
      }
      this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(resolve))
      this.#waitingCount++
      signal.addEventListener('abort', leave)
    })
  }

  #startNext(): void {
    for (const [key, searches] of this.#waiting) {
      const [start] = searches
      this.#remove(key, start!)
      // Behind the other callers.
      this.#waiting.delete(key)
      if (searches.size > 0) this.#waiting.set(key, searches)
      this.#running++
      start!()
      return
    }
  }

  #remove(key: string, start: () => void): boolean {
    const searches = this.#waiting.get(key)
    if (searches?.delete(start) !== true) return false
    this.#waitingCount--
    if (searches.size === 0) this.#waiting.delete(key)
    return true
  }
}
