import type { WorkerReply, WorkerStatus } from './worker-status.ts'

/** A worker that takes longer than this to say how it is counts as silent, in milliseconds. */
const TIMEOUT_MS = 2_000

/** A process that can be asked; its answer comes by `heard`. */
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

/** Asks all workers how they are, and waits for the answers, but not for ever. */
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
    return workers.map(({ worker, pid }) => ({ worker, pid, vitals: open.answers.get(worker) ?? null }))
  }

  /** An answer has come; one to a round that is over is of no use any more. */
  onReply(id: number, worker: number, vitals: WorkerStatus): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.answers.set(worker, vitals)
    if (open.answers.size === open.wanted) open.done()
  }
}
