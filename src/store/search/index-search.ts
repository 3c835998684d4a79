import type { Worker } from 'node:worker_threads'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { startWorkerThread } from '../../platform/assets.ts'
import type { IndexReply, IndexRequest } from './index-thread.ts'
import type { MessageSearch, SearchPage, SearchQuery, SearchStatus } from './search.ts'

/** Delay of the thread after the start of the gateway, in milliseconds: a process that ends soon needs none. A search does not wait for it. */
const START_DELAY_MS = 10_000
/** Pause before a thread that has ended is replaced, in milliseconds. */
const RESTART_PAUSE_MS = 10_000

export interface IndexSearchOptions {
  readonly databaseFile: string
  /** Called when the index fails, with the reason, and with null when it works again. */
  readonly onFault: (reason: string | null) => void
}

interface Waiting {
  readonly resolve: (page: SearchPage) => void
  readonly reject: (error: GatewayError) => void
}

/** Search in an SQLite store: a thread that owns the index, since indexing and long searches would block the streams. */
export class IndexSearch implements MessageSearch {
  /** The thread runs one after another. */
  readonly maxConcurrent = 1
  readonly #options: IndexSearchOptions
  readonly #waiting = new Map<number, Waiting>()
  #thread: Worker | null = null
  #timer: NodeJS.Timeout | undefined
  #seq = 0
  #status: SearchStatus | null = null
  #isStopped = false

  constructor(options: IndexSearchOptions) {
    this.#options = options
  }

  get status(): SearchStatus | null {
    return this.#status
  }

  start(): void {
    this.#launchAfter(START_DELAY_MS)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    const thread = this.#thread
    if (thread === null) return
    const ended = new Promise((resolve) => thread.once('exit', resolve))
    this.#post(thread, { op: 'close' })
    await ended
  }

  search(query: SearchQuery): Promise<SearchPage> {
    const thread = this.#thread ?? this.#launch()
    return new Promise((resolve, reject) => {
      const seq = ++this.#seq
      this.#waiting.set(seq, { resolve, reject })
      this.#post(thread, { op: 'search', seq, query })
    })
  }

  #post(thread: Worker, request: IndexRequest): void {
    thread.postMessage(request)
  }

  #launchAfter(ms: number): void {
    this.#timer = setTimeout(() => this.#thread ?? this.#launch(), ms)
    this.#timer.unref()
  }

  #launch(): Worker {
    const source = new URL('./index-thread.ts', import.meta.url)
    const { databaseFile } = this.#options
    const thread = startWorkerThread('search-index-thread', source, { databaseFile })
    this.#thread = thread
    thread.on('message', (reply: IndexReply) => this.#onReply(reply))
    thread.on('error', (error) => this.#options.onFault(error.message))
    thread.on('exit', () => this.#onExit())
    return thread
  }

  #onReply(reply: IndexReply): void {
    if ('status' in reply) this.#status = reply.status
    else if ('fault' in reply) this.#options.onFault(reply.fault)
    else {
      const waiting = this.#waiting.get(reply.seq)
      this.#waiting.delete(reply.seq)
      if ('page' in reply) waiting?.resolve(reply.page)
      else waiting?.reject(new GatewayError(reply.error.code as ErrorCode, reply.error.message))
    }
  }

  #onExit(): void {
    this.#thread = null
    const error = new GatewayError('storage_unavailable', 'The thread of the search index has ended.')
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
    if (!this.#isStopped) this.#launchAfter(RESTART_PAUSE_MS)
  }
}
