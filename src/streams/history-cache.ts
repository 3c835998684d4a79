import { encodeMessageEvent } from '../core/sse.ts'
import { filterKey, type SubscriptionFilter } from '../core/subscription-filter.ts'
import type { MessageStore } from '../store/store.ts'
import { ReplayBuffer } from './replay-buffer.ts'

/** One page of history: what a reader that lags takes from the log at a time. */
const PAGE = { messages: 500, bytes: 128 * 1024 }

/** A page is encoded once and kept for other readers of the same history, within this memory. */
const CACHE_BYTES = 16 * 1024 * 1024

/** Everything of a selection in `slab.from < db_id <= through`. */
export interface HistoryPage {
  readonly slab: ReplayBuffer
  readonly through: number
}

/** History in encoded pages. A thousand readers that come back at once read and encode each page once. */
export class HistoryCache {
  readonly #log: MessageStore
  /** Pages by selection, in the order of their last use. */
  readonly #kept = new Map<HistoryPage, string>()
  readonly #bySelection = new Map<string, Set<HistoryPage>>()
  readonly #loading = new Map<string, Promise<HistoryPage>>()
  #bytes = 0
  #misses = 0

  constructor(log: MessageStore) {
    this.#log = log
  }

  /** Pages that were read from the log and encoded; all others were at hand. */
  get misses(): number {
    return this.#misses
  }

  /**
   * The page that holds what follows a cursor; it may begin before the cursor.
   *
   * @throws GatewayError storage_*
   */
  async pageAfter(selection: SubscriptionFilter, cursor: number): Promise<HistoryPage> {
    const key = filterKey(selection)
    const kept = this.#find(key, cursor)
    if (kept !== null) return kept
    const at = `${cursor} ${key}`
    let loading = this.#loading.get(at)
    if (loading === undefined) {
      loading = this.#load(selection, key, cursor).finally(() => this.#loading.delete(at))
      this.#loading.set(at, loading)
    }
    return loading
  }

  /** Forgets all pages: retention has removed messages. */
  clear(): void {
    this.#kept.clear()
    this.#bySelection.clear()
    this.#bytes = 0
  }

  #find(key: string, cursor: number): HistoryPage | null {
    for (const page of this.#bySelection.get(key) ?? []) {
      if (page.slab.startsAfter <= cursor && cursor < page.through) {
        this.#kept.delete(page)
        this.#kept.set(page, key)
        return page
      }
    }
    return null
  }

  async #load(selection: SubscriptionFilter, key: string, cursor: number): Promise<HistoryPage> {
    this.#misses++
    const { messages, readThrough } = await this.#log.read(selection, cursor, PAGE)
    const slab = new ReplayBuffer(cursor, Number.POSITIVE_INFINITY)
    for (const message of messages) slab.append(message.db_id, encodeMessageEvent(message))
    const page = { slab, through: readThrough }
    if (slab.frames > 0) this.#keep(key, page)
    return page
  }

  #keep(key: string, page: HistoryPage): void {
    const pages = this.#bySelection.get(key) ?? new Set()
    this.#bySelection.set(key, pages.add(page))
    this.#kept.set(page, key)
    this.#bytes += page.slab.bytes
    for (const [oldest, oldestKey] of this.#kept) {
      if (this.#bytes <= CACHE_BYTES) break
      this.#kept.delete(oldest)
      this.#bytes -= oldest.slab.bytes
      const siblings = this.#bySelection.get(oldestKey)
      siblings?.delete(oldest)
      if (siblings?.size === 0) this.#bySelection.delete(oldestKey)
    }
  }
}
