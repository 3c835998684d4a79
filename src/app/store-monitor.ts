import type { ClusterPeers } from '../cluster/worker.ts'
import { GatewayError } from '../core/errors.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import type { DamageLatch } from '../store/damage-latch.ts'
import type { MessageStore } from '../store/store.ts'

/** Interval between checks of the store, in milliseconds. */
const CHECK_MS = 2_000

export interface StoreMonitorOptions {
  readonly store: MessageStore
  readonly damage: DamageLatch
  readonly health: HealthRegistry
  readonly peers: ClusterPeers | undefined
  /** Called after each check that has succeeded; an error counts as one of the check. */
  readonly onChecked: () => Promise<void>
}

/** Reports the health of the store: the outcome of each use, and of a periodic check. */
export class StoreMonitor {
  readonly #options: StoreMonitorOptions
  #timer: NodeJS.Timeout | undefined

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
      // The next check finds out whether this worker can write.
      this.#options.health.report('store_write', damage.error ?? error)
    })
  }

  /** Reports the outcome of a use of the store: an error, or null if it succeeded. */
  report(component: 'store_read' | 'store_write', error: unknown): void {
    // A success means nothing while the database is damaged: other rows are still readable.
    const { health, damage, peers } = this.#options
    const isNew = component === 'store_write' && !health.isFailed(component)
    health.report(component, damage.error ?? error)
    if (isNew && error instanceof GatewayError && damage.error === null) peers?.broadcastStoreFault(error)
  }

  start(): void {
    this.#timer = setInterval(() => void this.#check(), CHECK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #reportDamage(): void {
    this.report('store_read', null)
    this.report('store_write', null)
  }

  /** Detects a database that was removed while nothing is written, and one that has recovered. */
  async #check(): Promise<void> {
    const { store, health, onChecked } = this.#options
    try {
      await store.check(health.isFailed('store_write'))
      this.report('store_write', null)
      await store.head()
      this.report('store_read', null)
      await onChecked()
    } catch (error) {
      this.report('store_write', error)
    }
  }
}
