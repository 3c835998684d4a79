import type { WorkerReply, WorkerStatus } from './worker-status.ts'

/** Timeout for the reply of a worker, in milliseconds. */
const TIMEOUT_MS = 2_000

/** A worker to poll. It replies through `onReply`. */
export interface PollTarget {
  readonly worker: number
  readonly pid: number
  readonly request: (id: number) => void
}

interface PendingPoll {
  readonly replies: Map<number, WorkerStatus>
  readonly expected: number
  done: () => void
}

/** Polls all workers and waits for their replies up to a timeout. */
export class WorkerPoller {
  readonly #pending = new Map<number, PendingPoll>()
  #lastId = 0

  async poll(workers: readonly PollTarget[]): Promise<WorkerReply[]> {
    const id = ++this.#lastId
    const pending: PendingPoll = { replies: new Map(), expected: workers.length, done: () => undefined }
    this.#pending.set(id, pending)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, TIMEOUT_MS)
      pending.done = () => {
        clearTimeout(timer)
        resolve()
      }
      for (const { request } of workers) request(id)
      if (workers.length === 0) pending.done()
    })
    this.#pending.delete(id)
    return workers.map(({ worker, pid }) => ({ worker, pid, status: pending.replies.get(worker) ?? null }))
  }

  /** Handles a reply. Replies to a finished poll are ignored. */
  onReply(id: number, worker: number, status: WorkerStatus): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    pending.replies.set(worker, status)
    if (pending.replies.size === pending.expected) pending.done()
  }
}
