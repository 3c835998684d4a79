import { encodeMessageEvent } from '../core/sse.ts'
import { filterKey, type SubscriptionFilter } from '../core/subscription-filter.ts'
import type { MessageStore } from '../store/store.ts'
import { ReplayBuffer } from './replay-buffer.ts'

/** Limits of one page of history, which is read from the store at once. */
const PAGE = { messages: 500, bytes: 128 * 1024 }

/** Maximum memory for encoded pages, which are kept for other subscribers of the same history. */
const CACHE_BYTES = 16 * 1024 * 1024
/** A page is read again after this many milliseconds: another worker or host may have deleted messages of it. */
const MAX_PAGE_AGE_MS = 60_000

/** All messages of a filter with `buffer.startsAfter < db_id <= through`. */
export interface HistoryPage {
  readonly buffer: ReplayBuffer
  readonly through: number
  /** When it was read, on the monotonic clock. */
  readonly readAt: number
}

/** Cache of encoded pages of history. If a thousand subscribers return at once, each page is read and encoded only once. */
export class HistoryCache {
  readonly #store: MessageStore
  /** Key of the filter by page, in order of last use, oldest first. */
  readonly #pages = new Map<HistoryPage, string>()
  readonly #byFilter = new Map<string, Set<HistoryPage>>()
  readonly #loading = new Map<string, Promise<HistoryPage>>()
  #bytes = 0
  #misses = 0
  /** Number of times that the cache was cleared. */
  #clearings = 0

  constructor(store: MessageStore) {
    this.#store = store
  }

  /** Number of pages that were read from the store and encoded; all others came from the cache. */
  get misses(): number {
    return this.#misses
  }

  /**
   * Returns the page with the messages after a cursor; it can start before the cursor.
   *
   * @throws GatewayError storage_* or database_*
   */
  async pageAfter(filter: SubscriptionFilter, cursor: number): Promise<HistoryPage> {
    const key = filterKey(filter)
    const cached = this.#find(key, cursor)
    if (cached !== null) return cached
    const loadKey = `${cursor} ${key}`
    let loading = this.#loading.get(loadKey)
    if (loading === undefined) {
      const started = this.#load(filter, key, cursor).finally(() => {
        if (this.#loading.get(loadKey) === started) this.#loading.delete(loadKey)
      })
      loading = started
      this.#loading.set(loadKey, started)
    }
    return loading
  }

  /** Drops all pages; called after this process has deleted messages. */
  clear(): void {
    this.#clearings++
    this.#loading.clear()
    this.#pages.clear()
    this.#byFilter.clear()
    this.#bytes = 0
  }

  #find(key: string, cursor: number): HistoryPage | null {
    const minReadAt = performance.now() - MAX_PAGE_AGE_MS
    for (const page of this.#byFilter.get(key) ?? []) {
      if (page.readAt < minReadAt) this.#remove(page, key)
      else if (page.buffer.startsAfter <= cursor && cursor < page.through) {
        this.#pages.delete(page)
        this.#pages.set(page, key)
        return page
      }
    }
    return null
  }

  async #load(filter: SubscriptionFilter, key: string, cursor: number): Promise<HistoryPage> {
    this.#misses++
    const clearings = this.#clearings
    const readAt = performance.now()
    const { messages, readThrough } = await this.#store.read(filter, cursor, PAGE)
    const buffer = new ReplayBuffer(cursor, Number.POSITIVE_INFINITY)
    for (const message of messages) buffer.append(message.db_id, encodeMessageEvent(message, filter.unnamed))
    const page = { buffer, through: readThrough, readAt }
    // A page that was read before the cache was cleared can have what was deleted since.
    if (buffer.frames > 0 && clearings === this.#clearings) this.#insert(key, page)
    return page
  }

  #insert(key: string, page: HistoryPage): void {
    const pages = this.#byFilter.get(key) ?? new Set()
    this.#byFilter.set(key, pages.add(page))
    this.#pages.set(page, key)
    this.#bytes += page.buffer.bytes
    for (const [oldest, oldestKey] of this.#pages) {
      if (this.#bytes <= CACHE_BYTES) break
      this.#remove(oldest, oldestKey)
    }
  }

  #remove(page: HistoryPage, key: string): void {
    this.#pages.delete(page)
    this.#bytes -= page.buffer.bytes
    const pages = this.#byFilter.get(key)
    pages?.delete(page)
    if (pages?.size === 0) this.#byFilter.delete(key)
  }
}
