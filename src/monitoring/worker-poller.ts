import type { WorkerReply, WorkerStatus } from './worker-status.ts'

/** Timeout for the reply of a worker, in milliseconds. */
const TIMEOUT_MS = 2_000

/** A worker to poll. It replies through `onReply`. */
export interface PollTarget {
  readonly worker: number
  readonly pid: number
  readonly ask: (id: number) => void
}

interface PendingPoll {
  readonly answers: Map<number, WorkerStatus>
  readonly wanted: number
  done: () => void
}

/** Polls all workers and waits for their replies up to a timeout. */
export class WorkerPoller {
  readonly #open = new Map<number, PendingPoll>()
  #asking = 0

  async poll(workers: readonly PollTarget[]): Promise<WorkerReply[]> {
    const id = ++this.#asking
    const open: PendingPoll = { answers: new Map(), wanted: workers.length, done: () => undefined }
    this.#open.set(id, open)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, TIMEOUT_MS)
      open.done = () => {
        clearTimeout(timer)
        resolve()
      }
      for (const { ask } of workers) ask(id)
      if (workers.length === 0) open.done()
    })
    this.#open.delete(id)
    return workers.map(({ worker, pid }) => ({ worker, pid, status: open.answers.get(worker) ?? null }))
  }

  /** Handles a reply. Replies to a finished poll are ignored. */
  onReply(id: number, worker: number, status: WorkerStatus): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.answers.set(worker, status)
    if (open.answers.size === open.wanted) open.done()
  }
}
