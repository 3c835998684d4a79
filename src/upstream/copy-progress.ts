import type { UpstreamState } from '../core/edge-state.ts'
import { type EdgeState, MAX_PENDING_COUNT } from '../core/edge-state.ts'
import type { UpstreamStatus } from './status.ts'

/** The copy is up to date if it had all messages this recently, in milliseconds. */
const LIVE_MS = 5_000
/** Interval of progress reports, in milliseconds. */
const REPORT_MS = 10_000

export interface CopyProgressOptions {
  /** Host of the core. */
  readonly core: string
  readonly onProgress: (done: number, total: number) => void
}

/** How far the copy is behind. */
export class CopyProgress {
  readonly #options: CopyProgressOptions
  #head = 0
  #levelAt: number | null = null
  #isLevel = false
  /** End of the core at the last read of its state; null if the copy cannot have reached it. */
  #target: { readonly db_id: number; readonly readAt: number } | null = null
  #contacted = false
  #pending: number | null = null
  #reportedAt = 0

  constructor(options: CopyProgressOptions) {
    this.#options = options
  }

  /** True if the last state of the core had nothing that the copy lacks. */
  get isLevel(): boolean {
    return this.#isLevel
  }

  /** True if the copy has had all messages once. */
  get isComplete(): boolean {
    return this.#levelAt !== null
  }

  /** @param levelAt when the copy last had all messages, in milliseconds since 1970; null if never */
  begin(head: number, levelAt: number | null): void {
    this.#head = head
    this.#levelAt = levelAt
    this.onConnection()
  }

  onHead(head: number): void {
    this.#head = head
    this.#update()
  }

  /** Called when a connection begins or ends: what was known of the core is out of date. */
  onConnection(): void {
    this.#target = null
    this.#isLevel = false
  }

  /** @param isComplete everything that was there when the stream began has arrived. @param readAt milliseconds since 1970 */
  onState(state: EdgeState, isComplete: boolean, readAt: number): void {
    this.#contacted = true
    this.#target = isComplete ? { db_id: state.last_db_id, readAt } : null
    this.#update()
    // Ids have gaps, so their difference is only an upper bound.
    const bound = Math.min(Math.max(0, state.last_db_id - this.#head), state.total)
    this.#pending = this.#isLevel
      ? 0
      : state.pending < MAX_PENDING_COUNT
        ? state.pending
        : Math.max(state.pending, bound)
    if (!this.#isLevel && readAt - this.#reportedAt >= REPORT_MS && this.#pending >= MAX_PENDING_COUNT) {
      this.#reportedAt = readAt
      this.#options.onProgress(Math.max(0, state.total - this.#pending), state.total)
    }
  }

  /** The copy had all messages at the time of a state once it has reached its end. */
  #update(): void {
    this.#isLevel = this.#target !== null && this.#head >= this.#target.db_id
    if (this.#isLevel) this.#levelAt = this.#target!.readAt
  }

  status(connected: boolean): UpstreamStatus {
    const ageMs = this.#levelAt === null ? null : Math.max(0, Date.now() - this.#levelAt)
    const state = this.#getState(connected, ageMs)
    return {
      core: this.#options.core,
      state,
      lag_messages: state === 'live' && this.#isLevel ? 0 : this.#pending,
      lag_seconds: state === 'live' ? 0 : ageMs === null ? null : Math.round(ageMs / 1_000),
    }
  }

  #getState(connected: boolean, ageMs: number | null): UpstreamState {
    if (!connected) return this.#contacted ? 'away' : 'connecting'
    if (ageMs === null) return 'copying'
    return ageMs <= LIVE_MS ? 'live' : 'catching_up'
  }
}
