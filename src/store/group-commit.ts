import type { AppendEntry, AppendResult } from './store.ts'

interface PendingAppend {
  readonly entries: readonly AppendEntry[]
  readonly resolve: (outcomes: AppendResult[]) => void
  readonly reject: (error: unknown) => void
}

/** Maximum entries per transaction. A larger commit takes longer without becoming cheaper per row. */
const MAX_ENTRIES = 2_000

/**
 * Combines entries that arrive during a commit into the next one. There is no timer: an idle store commits a single entry immediately, a
 * busy one commits hundreds at a time. The entries of one caller stay together and in order.
 */
export class GroupCommit {
  readonly #commit: (entries: readonly AppendEntry[]) => Promise<AppendResult[]>
  #waiting: PendingAppend[] = []
  #running: Promise<void> | null = null

  constructor(commit: (entries: readonly AppendEntry[]) => Promise<AppendResult[]>) {
    this.#commit = commit
  }

  /** @returns the results once they are durable; rejects with the error of `commit` */
  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    if (entries.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when no commit is running or waiting. */
  async drained(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  async #run(): Promise<void> {
    // Yield once, so that all appends of the current tick share the first commit.
    await null
    while (this.#waiting.length > 0) {
      const group = this.#take()
      const entries = group.length === 1 ? group[0]!.entries : group.flatMap((one) => one.entries)
      try {
        const outcomes = await this.#commit(entries)
        let at = 0
        for (const one of group) one.resolve(outcomes.slice(at, (at += one.entries.length)))
      } catch (error) {
        for (const one of group) one.reject(error)
      }
    }
    this.#running = null
  }

  #take(): PendingAppend[] {
    let entries = 0
    let count = 0
    for (const one of this.#waiting) {
      if (count > 0 && entries + one.entries.length > MAX_ENTRIES) break
      entries += one.entries.length
      count++
    }
    return this.#waiting.splice(0, count)
  }
}
