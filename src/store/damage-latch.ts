import { isDamage } from '../core/error-catalogue/groups.ts'
import { GatewayError } from '../core/errors.ts'

/** Minimum time between two checks of a damaged database, in milliseconds. */
const MIN_INTERVAL_MS = 5_000
/** A check is followed by a pause of this many times its duration, since it reads the whole database. */
const PAUSE_FACTOR = 10
/** A report of another worker applies for this long, in milliseconds; that worker repeats it for as long as its own checks fail. */
const PEER_REPORT_MS = 15_000
/** Maximum number of failed operations that are repeated by a check. */
const MAX_FAILED = 20

/**
 * Damage of the database that this process has found. It is reported until a check passes, not until the next read succeeds: reads of
 * undamaged rows always do. Meanwhile nothing is written, since a commit into a damaged b-tree can lose what it acknowledges.
 *
 * - sound: initial state. `note` or `notePeer` → damaged.
 * - damaged: `error` is set, and writes are refused. A check that passes → sound, unless a peer still reports damage.
 */
export class DamageLatch {
  readonly #now: () => number
  #onDamage: (error: GatewayError) => void = () => undefined
  #error: GatewayError | null = null
  /** True while the damage was found by this process, not only by a peer. */
  #own = false
  #failed: (() => unknown)[] = []
  /** Number of times that damage was noted. */
  #notes = 0
  #checking = false
  #checkAt = 0
  #peerUntil = 0

  /** @param now milliseconds of a monotonic clock */
  constructor(now = (): number => performance.now()) {
    this.#now = now
  }

  /** The damage, or null if the database is not known to be damaged. */
  get error(): GatewayError | null {
    return this.#error
  }

  /** Sets the listener that is called when this process finds damage, and again while its checks find it. */
  onDamage(listener: (error: GatewayError) => void): void {
    this.#onDamage = listener
  }

  /**
   * Notes an error of the store if it means damage.
   *
   * @param again repeats the failed operation without an effect, for damage that the check of the whole database cannot find
   * @returns the error
   */
  note<Thrown>(error: Thrown, again?: () => unknown): Thrown {
    if (!isDamage(error)) return error
    const isNews = this.#error === null || !this.#own
    const damage = (this.#error ??= error)
    this.#own = true
    this.#notes++
    if (again !== undefined && this.#failed.length < MAX_FAILED) this.#failed.push(again)
    if (isNews) this.#onDamage(damage)
    return error
  }

  /** Runs a read of the store, and notes damage. @param again as for `note` */
  async reading<Result>(read: () => Promise<Result>, again?: () => unknown): Promise<Result> {
    try {
      return await read()
    } catch (error) {
      throw this.note(error, again)
    }
  }

  /** Runs a write of the store, and notes damage. @throws GatewayError database_corrupt, without writing, while the database is damaged */
  async writing<Result>(write: () => Promise<Result>, again?: () => unknown): Promise<Result> {
    this.assertSound()
    return this.reading(write, again)
  }

  /** Notes damage that another worker has found. */
  notePeer(message: string): void {
    this.#error ??= new GatewayError('database_corrupt', message)
    this.#peerUntil = this.#now() + PEER_REPORT_MS
  }

  /** @throws GatewayError database_corrupt while the database is damaged */
  assertSound(): void {
    if (this.#error !== null) throw this.#error
  }

  /**
   * Like `assertSound`, and starts a check in the background if one is due.
   *
   * @param verify reads the database; rejects if it finds damage
   * @throws GatewayError database_corrupt while the database is damaged
   */
  recheck(verify: () => Promise<void>): void {
    if (this.#error === null) return
    if (!this.#checking && this.#now() >= this.#checkAt) void this.#check(verify)
    if (this.#own) this.#onDamage(this.#error)
    throw this.#error
  }

  async #check(verify: () => Promise<void>): Promise<void> {
    this.#checking = true
    const startedAt = this.#now()
    const notes = this.#notes
    try {
      await verify()
      for (const again of [...this.#failed]) await again()
      if (this.#notes === notes) this.#pass()
    } catch {
      this.#own = true
    }
    const pause = Math.max(MIN_INTERVAL_MS, PAUSE_FACTOR * (this.#now() - startedAt))
    this.#checkAt = this.#now() + pause
    this.#checking = false
  }

  #pass(): void {
    this.#own = false
    this.#failed = []
    if (this.#now() >= this.#peerUntil) this.#error = null
  }
}
