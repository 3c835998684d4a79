import { parentPort, workerData } from 'node:worker_threads'
import { storageError } from '../sqlite/errors.ts'
import type { SearchPage, SearchQuery, SearchStatus } from './search.ts'
import { SearchIndex } from './search-index.ts'

/** Request to the thread of the search index. */
export type IndexRequest =
  | { readonly op: 'search'; readonly seq: number; readonly query: SearchQuery }
  | { readonly op: 'close' }

/** Message of the thread. An error is sent as code and text, since its class would be lost. `fault` is null once the index works again. */
export type IndexReply =
  | { readonly seq: number; readonly page: SearchPage }
  | { readonly seq: number; readonly error: { readonly code: string; readonly message: string } }
  | { readonly status: SearchStatus }
  | { readonly fault: string | null }

/** Pause between two looks for new messages, in milliseconds. A search looks for them as well. */
const POLL_INTERVAL_MS = 1_000
const FAULT_PAUSE_MS = 10_000
/** Batches that a search waits for, so that it finds what was stored before. */
const MAX_BATCHES_BEFORE_SEARCH = 4

const port = parentPort!
const { databaseFile } = workerData as { databaseFile: string }
let index: SearchIndex | null = null
let timer: NodeJS.Timeout | undefined
let fault: string | null = null
let lastStatus = ''

const send = (reply: IndexReply): void => port.postMessage(reply)

const open = (): SearchIndex => {
  index ??= new SearchIndex(databaseFile)
  return index
}

const reportFault = (text: string | null): void => {
  if (text !== fault) send({ fault: text })
  fault = text
}

const reportStatus = (status: SearchStatus): void => {
  const text = JSON.stringify(status)
  if (text !== lastStatus) send({ status })
  lastStatus = text
}

/** Indexes a batch. @returns the pause before the next one, in milliseconds */
const advance = (): number => {
  const from = performance.now()
  try {
    if (open().isCurrent) return POLL_INTERVAL_MS
    const hasMore = open().step()
    reportStatus(open().status)
    reportFault(null)
    // As long as the batch took, so that the index uses at most half a core while messages arrive.
    return hasMore ? performance.now() - from : POLL_INTERVAL_MS
  } catch (error) {
    reportFault(storageError(error).message)
    // A new connection reads repaired files again.
    index?.close()
    index = null
    return FAULT_PAUSE_MS
  }
}

const follow = (): void => {
  timer = setTimeout(follow, advance())
}

const search = (query: SearchQuery): SearchPage => {
  for (let batches = 0; batches < MAX_BATCHES_BEFORE_SEARCH && open().step(); batches++);
  return open().search(query)
}

port.on('message', (request: IndexRequest) => {
  if (request.op === 'close') {
    clearTimeout(timer)
    index?.close()
    port.close()
    return
  }
  const { seq, query } = request
  try {
    send({ seq, page: search(query) })
  } catch (error) {
    const { code, message } = storageError(error)
    send({ seq, error: { code, message } })
  }
})

follow()
