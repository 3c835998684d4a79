import type { ClusterPeers } from '../cluster/worker.ts'
import { GatewayError } from '../core/errors.ts'
import { ALL_MESSAGES } from '../core/subscription-filter.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import type { DamageLatch } from '../store/damage-latch.ts'
import type { MessageStore } from '../store/store.ts'

/** Interval between checks of the store, in milliseconds. */
const CHECK_MS = 2_000
/**
 * The streams are ended once the store cannot be reached and another host consumes for this long, in milliseconds. Longer than hosts that
 * fail together need until none of them consumes, or until all have recovered.
 */
const CUT_OFF_MS = 20_000

/**
 * A failed append of another worker counts for this long, in milliseconds. That worker repeats it with each of its checks that fails, so
 * that all workers are ready again together: a smaller write of this one proves nothing.
 */
const PEER_FAULT_MS = 4_500

export interface StoreMonitorOptions {
  readonly store: MessageStore
  readonly damage: DamageLatch
  readonly health: HealthRegistry
  readonly peers: ClusterPeers | undefined
  /** Called after each check that has succeeded; an error counts as one of the check. */
  readonly onChecked: () => Promise<void>
  /** Returns whether another host consumes, and can therefore write. */
  readonly othersServe: () => boolean
  /** Called at each interval while the store cannot be reached although another host can use it. */
  readonly onCutOff: () => void
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number
}

/** Reports the health of the store: the outcome of each use, and of a periodic check. */
export class StoreMonitor {
  readonly #options: StoreMonitorOptions
  #timer: NodeJS.Timeout | undefined
  #checking = false
  #cutOffSince: number | null = null
  /** True from a failed append or other write of this worker until one succeeds. */
  #ownWriteFailed = false
  #peerFaultUntil = 0

  constructor(options: StoreMonitorOptions) {
    this.#options = options
    const { damage, peers } = options
    damage.onDamage((error) => {
      this.#reportDamage()
      peers?.broadcastStoreFault(error)
    })
    peers?.onStoreFault((error) => {
      if (error.code === 'database_corrupt') {
        damage.notePeer(error.message)
        this.#reportDamage()
        return
      }
      this.#peerFaultUntil = this.#now() + PEER_FAULT_MS
      const { health } = this.#options
      // A fault of its own stays named.
      if (!health.isFailed('store_write')) health.report('store_write', damage.error ?? error)
    })
  }

  /** Reports the outcome of a use of the store: an error, or null if it succeeded. */
  report(component: 'store_read' | 'store_write', error: unknown): void {
    if (component === 'store_write') this.#ownWriteFailed = error !== null
    this.#apply(component, error)
  }

  #apply(component: 'store_read' | 'store_write', error: unknown): void {
    const { health, damage, peers } = this.#options
    // A success means nothing while the database is damaged: other rows are still readable.
    const failure = damage.error ?? error
    if (component === 'store_write' && failure === null && this.#now() < this.#peerFaultUntil) return
    const isNew = component === 'store_write' && !health.isFailed(component)
    health.report(component, failure)
    if (isNew && error instanceof GatewayError && damage.error === null) peers?.broadcastStoreFault(error)
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#noteCutOff()
      if (!this.#checking) void this.#check()
    }, CHECK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #reportDamage(): void {
    this.#apply('store_read', null)
    this.#apply('store_write', null)
  }

  /** Detects a database that was removed while nothing is written, and one that has recovered. */
  async #check(): Promise<void> {
    const { store, health, damage, peers, onChecked } = this.#options
    this.#checking = true
    const write = health.isFailed('store_write')
    const [checked, read] = await Promise.allSettled([store.check(write), this.#checkRead()])
    if (checked.status === 'rejected') {
      this.#apply('store_write', checked.reason)
      if (this.#ownWriteFailed && damage.error === null) peers?.broadcastStoreFault(checked.reason)
    }
    // Otherwise a write that has failed meanwhile would be forgotten.
    else if (write) this.report('store_write', null)
    this.report('store_read', read.status === 'rejected' ? read.reason : null)
    if (!health.isFailed('store_write') && !health.isFailed('store_read')) {
      await onChecked().catch((error: unknown) => this.report('store_read', error))
    }
    this.#checking = false
  }

  async #checkRead(): Promise<void> {
    const { store, health } = this.#options
    const head = await store.head()
    // The messages are in another table, which can be locked.
    if (health.isFailed('store_read')) await store.read(ALL_MESSAGES, head, { messages: 1, bytes: 1 })
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))()
  }

  #noteCutOff(): void {
    const { health, othersServe, onCutOff } = this.#options
    const isUnreachable = health.faults.some(
      ({ component, code }) => component === 'store_read' && code === 'database_unreachable',
    )
    const isCutOff = isUnreachable && othersServe()
    this.#cutOffSince = isCutOff ? (this.#cutOffSince ?? this.#now()) : null
    if (this.#cutOffSince !== null && this.#now() - this.#cutOffSince >= CUT_OFF_MS) onCutOff()
  }
}
