import type { Readable } from 'node:stream'
import type { UpstreamState } from '../core/edge-state.ts'

/** How far an edge is behind its core. */
export interface UpstreamStatus {
  /** Host of the core, with its port. */
  readonly core: string
  readonly state: UpstreamState
  /** Messages that the core has and the copy lacks, as last known; null before the first contact. */
  readonly lag_messages: number | null
  /** Seconds since the copy had all messages; 0 while it has; null if it never had. */
  readonly lag_seconds: number | null
}

/** A request that is forwarded to the core. */
export interface ForwardedRequest {
  readonly method: string
  /** With its query, below the base path. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** null if there is none: what a client sends with a DELETE is not passed on. */
  readonly body: Readable | null
}

export interface ForwardedResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** The core of an edge, as its routes use it. */
export interface UpstreamView {
  readonly status: UpstreamStatus
  /** True if the copy had all messages a moment ago. */
  readonly isLevel: boolean
  /** Identifies this edge and those that it follows, so that an edge finds out if it follows itself. */
  readonly edges: readonly string[]
  /** Resolves when the copy is not being replaced by that of another store. */
  settled(): Promise<void>
  /**
   * Decides about a cursor that the copy has not reached: a client may have received the messages before it from the core, or from another
   * edge. Waits a moment for the copy to catch up.
   *
   * @param readsAll true if the client may know how many messages there are in all events
   * @returns false if the core has certainly not assigned this db_id
   */
  mayReach(cursor: number, readsAll: boolean): Promise<boolean>
  /** Reads the state of the core again. Resolves also if that fails, which `isLevel` shows. */
  refresh(): Promise<void>
  /** @throws GatewayError upstream_unreachable, upstream_certificate_untrusted or upstream_cycle */
  forward(request: ForwardedRequest): Promise<ForwardedResponse>
}
