import type { GatewayError } from '../core/errors.ts'

/** A write that has not ended after this time is late, in milliseconds. */
const LATE_MS = 5_000

/** Repeats an append without an effect. Rejects if it would fail again. @param error the error of the append */
type Repeat = (error: GatewayError) => Promise<unknown>

/** The appends in progress, and the last one if it has failed. */
export class WriteWatch {
  readonly #running = new Set<{ readonly since: number }>()
  #failed: { readonly error: GatewayError; readonly again: Repeat } | null = null

  /** Runs an append. */
  async run<Result>(append: () => Promise<Result>, again: Repeat): Promise<Result> {
    const entry = { since: performance.now() }
    this.#running.add(entry)
    try {
      const result = await append()
      this.#failed = null
      return result
    } catch (error) {
      this.#failed = { error: error as GatewayError, again }
      throw error
    } finally {
      this.#running.delete(entry)
    }
  }

  /** Duration of the oldest append in progress, in milliseconds; null if none is late. */
  get lateMs(): number | null {
    const [oldest] = this.#running
    const ms = oldest === undefined ? 0 : performance.now() - oldest.since
    return ms < LATE_MS ? null : ms
  }

  /**
   * Checks whether what has failed would succeed. A smaller write proves nothing: it may fit where the append does not, or need another
   * table.
   *
   * @param probe commits a small write, for what only a commit shows
   * @throws GatewayError the error of the append
   */
  async recheck(probe: () => Promise<void>): Promise<void> {
    if (this.#running.size > 0) {
      // Its outcome decides; the connection for writing is busy.
      if (this.#failed !== null) throw this.#failed.error
      return
    }
    await this.#failed?.again(this.#failed.error)
    await probe()
    this.#failed = null
  }
}
