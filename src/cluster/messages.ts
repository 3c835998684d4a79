import type { ErrorCode } from '../core/errors.ts'
import type { HealthReport } from '../monitoring/report.ts'
import type { WorkerReport } from '../monitoring/worker-status.ts'
import type { Revocation } from '../store/store.ts'
import type { CoordinatorRequest, CoordinatorResponse } from './coordinator.ts'

/** Variables of the gateway by name. */
export type WorkerSettings = Readonly<Record<string, string | undefined>>

/** Messages between primary and workers. Unknown messages are ignored. */
export type ClusterMessage =
  /** The settings of the primary, which are the first message to each worker. */
  | { readonly gateway: 'settings'; readonly settings: WorkerSettings }
  | { readonly gateway: 'log_appended' }
  | { readonly gateway: 'listening'; readonly url: string }
  | { readonly gateway: 'metrics'; readonly id: number; readonly text?: string }
  /** The primary requests the status of a worker, which replies; with the id 0, only if it has counted something since it sent the last one. */
  | { readonly gateway: 'worker_status'; readonly id: number; readonly report?: WorkerReport }
  /** Sent by each worker at an interval, whatever it does: without it, the worker hangs. */
  | { readonly gateway: 'heartbeat' }
  /** Names the workers that do not respond; null if all do. */
  | { readonly gateway: 'unresponsive'; readonly text: string | null }
  /** A worker requests the status of all workers. */
  | { readonly gateway: 'health_report'; readonly id: number; readonly after: number; readonly report?: HealthReport }
  /** A subject was revoked, or its revocation removed. */
  | { readonly gateway: 'revocation'; readonly revocation: Revocation }
  /** The streams of a session must end. */
  | { readonly gateway: 'session_ended'; readonly tokenId: string }
  /** The store of a worker has failed. Damage of the database is repeated while its checks find it. */
  | { readonly gateway: 'store_fault'; readonly code: ErrorCode; readonly text: string }
  /** Requests to the coordinator, batched per event-loop iteration, and its responses in the same order. */
  | { readonly gateway: 'coordinator_request'; readonly id: number; readonly requests: readonly CoordinatorRequest[] }
  | {
      readonly gateway: 'coordinator_response'
      readonly id: number
      readonly responses: readonly CoordinatorResponse[]
    }
  /** Accept no more connections. */
  | { readonly gateway: 'stop_accepting' }
  /** Stop in order and exit. */
  | { readonly gateway: 'drain' }

export const isClusterMessage = (value: unknown): value is ClusterMessage =>
  typeof value === 'object' && value !== null && 'gateway' in value
