import { messageFrame } from '../core/sse.ts'
import { type Selection, selectionKey } from '../core/subscription-filter.ts'
import type { Log } from '../store/store.ts'
import { Slab } from './replay-buffer.ts'

/** One page of history: what a reader that lags takes from the log at a time. */
const PAGE = { messages: 500, bytes: 128 * 1024 }

/** A page is encoded once and kept for other readers of the same history, within this memory. */
const CACHE_BYTES = 16 * 1024 * 1024

/** Everything of a selection in `slab.from < db_id <= through`. */
export interface HistoryPage {
  readonly slab: Slab
  readonly through: number
}

/** History in encoded pages. A thousand readers that come back at once read and encode each page once. */
export class Pages {
  readonly #log: Log
  /** Pages by selection, in the order of their last use. */
  readonly #kept = new Map<HistoryPage, string>()
  readonly #bySelection = new Map<string, Set<HistoryPage>>()
  readonly #loading = new Map<string, Promise<HistoryPage>>()
  #bytes = 0
  #reads = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** Pages that were read from the log and encoded; all others were at hand. */
  get reads(): number {
    return this.#reads
  }

  /**
   * The page that holds what follows a cursor; it may begin before the cursor.
   *
   * @throws GatewayError storage_*
   */
  async after(selection: Selection, cursor: number): Promise<HistoryPage> {
    const key = selectionKey(selection)
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
      if (page.slab.from <= cursor && cursor < page.through) {
        this.#kept.delete(page)
        this.#kept.set(page, key)
        return page
      }
    }
    return null
  }

  async #load(selection: Selection, key: string, cursor: number): Promise<HistoryPage> {
    this.#reads++
    const { messages, through } = await this.#log.read(selection, cursor, PAGE)
    const slab = new Slab(cursor, Number.POSITIVE_INFINITY)
    for (const message of messages) slab.append(message.db_id, messageFrame(message))
    const page = { slab, through }
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
