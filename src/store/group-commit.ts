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
  #pending: PendingAppend[] = []
  #running: Promise<void> | null = null

  constructor(commit: (entries: readonly AppendEntry[]) => Promise<AppendResult[]>) {
    this.#commit = commit
  }

  /** @returns the results once they are durable; rejects with the error of `commit` */
  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    if (entries.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#pending.push({ entries, resolve, reject })
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
    while (this.#pending.length > 0) {
      const group = this.#nextGroup()
      const entries = group.length === 1 ? group[0]!.entries : group.flatMap((append) => append.entries)
      try {
        const outcomes = await this.#commit(entries)
        let at = 0
        for (const append of group) append.resolve(outcomes.slice(at, (at += append.entries.length)))
      } catch (error) {
        for (const append of group) append.reject(error)
      }
    }
    this.#running = null
  }

  #nextGroup(): PendingAppend[] {
    let entries = 0
    let count = 0
    for (const append of this.#pending) {
      if (count > 0 && entries + append.entries.length > MAX_ENTRIES) break
      entries += append.entries.length
      count++
    }
    return this.#pending.splice(0, count)
  }
}
