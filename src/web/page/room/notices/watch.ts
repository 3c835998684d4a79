import { signal } from '../../shared/signal.ts'
import type { AttentionReason } from '../model/attention.ts'
import type { Entry } from '../model/entry.ts'
import { lowerBound } from '../timeline/rows.ts'

/** The messages that need attention and have arrived while the user was away. */
export interface AttentionNotice {
  readonly latest: Entry
  /** Of the latest message. */
  readonly reason: AttentionReason
  /** Number of messages, the latest included. */
  readonly messages: number
}

interface WatchOptions {
  /** True while the user looks at something else. */
  readonly isAway: () => boolean
  readonly notify: (notice: AttentionNotice) => void
}

/** Minimum time between two notices, in milliseconds. */
export const NOTICE_INTERVAL_MS = 5_000

/** Watches a room for new messages that need attention while the user is away. */
export class AttentionWatch {
  /** Number of such messages since the user was last here. */
  readonly pending = signal(0)
  /** The last message that was looked at; null until the room follows its stream. */
  #last: number | null = null
  #due: Omit<AttentionNotice, 'messages'> | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #options: WatchOptions

  constructor(options: WatchOptions) {
    this.#options = options
  }

  /**
   * Looks at the messages that are new. Those that are loaded before the room follows its stream are not.
   *
   * @param entries all loaded messages, ascending
   * @param isFollowing whether the room follows its stream
   * @param getAttentionReason null if the user wants no notices
   */
  look(
    entries: readonly Entry[],
    isFollowing: boolean,
    getAttentionReason: ((entry: Entry) => AttentionReason | null) | null,
  ): void {
    const from = this.#last
    this.#last = isFollowing ? (entries.at(-1)?.id ?? 0) : null
    if (from === null || this.#last === null || getAttentionReason === null || !this.#options.isAway()) return
    let n = 0
    for (const entry of entries.slice(lowerBound({ entries }, from + 1))) {
      const reason = getAttentionReason(entry)
      if (reason === null) continue
      n++
      this.#due = { latest: entry, reason }
    }
    if (n === 0) return
    this.pending.set(this.pending.get() + n)
    if (this.#timer === undefined) this.#notify()
  }

  /** Notes that the user is back. */
  seen(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#due = null
    this.pending.set(0)
  }

  /** Notifies now, and later once more of what arrives meanwhile. */
  #notify(): void {
    this.#timer = undefined
    if (this.#due === null) return
    this.#options.notify({ ...this.#due, messages: this.pending.get() })
    this.#due = null
    this.#timer = setTimeout(() => this.#notify(), NOTICE_INTERVAL_MS)
  }
}
