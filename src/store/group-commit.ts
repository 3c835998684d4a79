import type { AppendEntry, AppendResult } from './store.ts'

interface PendingAppend {
  readonly entries: readonly AppendEntry[]
  readonly resolve: (outcomes: AppendResult[]) => void
  readonly reject: (error: unknown) => void
}

/** Entries of one transaction at most: beyond it a commit takes longer without becoming cheaper per row. */
const MAX_ENTRIES = 2_000

/**
 * Joins what comes in while a commit is under way into the next one. No timer: an idle log commits one entry
 * at once, a busy one hundreds. Each caller's entries stay together and in order.
 */
export class GroupCommit {
  readonly #commit: (entries: readonly AppendEntry[]) => Promise<AppendResult[]>
  #waiting: PendingAppend[] = []
  #running: Promise<void> | null = null

  constructor(commit: (entries: readonly AppendEntry[]) => Promise<AppendResult[]>) {
    this.#commit = commit
  }

  /** @returns the outcomes once durable; rejects as `commit` does, and nothing of the entries is then stored */
  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    if (entries.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is under way any more. */
  async drained(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  async #run(): Promise<void> {
    // A turn of its own lets the callers of this very moment share the first commit.
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
