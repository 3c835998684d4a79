import type { BackoffOptions } from '../core/backoff.ts'
import type { ResetReason } from '../core/cursor.ts'
import type { GatewayError } from '../core/errors.ts'
import type { StoreCopy } from '../store/store-copy.ts'
import type { CoreConnection } from './core-client.ts'
import type { RevocationTarget } from './revocation-sync.ts'

export interface FollowerOptions {
  readonly connection: CoreConnection
  /** Host of the core. */
  readonly core: string
  readonly events: readonly string[] | '*'
  readonly copy: StoreCopy
  readonly revocations: RevocationTarget
  /** Called after messages were stored. */
  readonly onStored: (messages: number) => void
  /** Called after messages were deleted, because the core has deleted them. */
  readonly onPruned: () => void
  /**
   * Called when the streams of the edge must end, and their clients return with their cursors: `reset` of the core, or another store (`null`).
   * The copy already is what the clients will find.
   */
  readonly onReset: (reason: ResetReason | null) => void
  /** Called when the copy has caught up. @param head the greatest db_id of the core; no valid cursor is greater */
  readonly onLevel: (head: number) => void
  /** Called with the error when a connection fails, and with null when one is established. */
  readonly onConnection: (error: GatewayError | null) => void
  /** Called with the number of messages copied so far, and of all, during a longer copy. */
  readonly onProgress: (done: number, total: number) => void
  readonly pollMs?: number
  readonly retryMs?: BackoffOptions
  readonly catchUpMs?: number
}
