/**
 * Minimum interval between the starts of a commit of several entries and of the next one, in milliseconds. A single entry is not followed
 * by a pause, so a quiet gateway commits at once.
 */
const MIN_INTERVAL_MS = 5
/** Commit immediately once this many entries are waiting. */
const FLUSH_AT_ENTRIES = 100

/**
 * Decides how long entries wait for others, so that those in quick succession share one commit: it costs the machine the same for one entry as
 * for ten, and at 1,000 messages/s there would be 600 commits a second. Times are in milliseconds of a monotonic clock.
 */
export class CommitPace {
  #notBefore = Number.NEGATIVE_INFINITY

  /** Called when a commit starts. */
  started(entries: number, now: number): void {
    this.#notBefore = entries > 1 ? now + MIN_INTERVAL_MS : Number.NEGATIVE_INFINITY
  }

  /** Returns how long to wait before the next commit, in milliseconds; 0 if it can start now. */
  pauseMs(waiting: number, now: number): number {
    const pauseMs = this.#notBefore - now
    // A timer lasts at least a millisecond.
    return pauseMs > 1 && waiting < FLUSH_AT_ENTRIES ? pauseMs : 0
  }
}
