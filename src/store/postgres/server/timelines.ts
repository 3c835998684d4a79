import { GatewayError } from '../../../core/errors.ts'

/** Position of a server in the history of its cluster. */
export interface ServerTimeline {
  /** System identifier, which a primary and its standbys share; null if the user may not read it. */
  readonly cluster: string | null
  /** Eight hexadecimal digits. It rises when a standby is promoted, and after a point-in-time recovery. */
  readonly timeline: string
}

/**
 * The newest timeline that was seen of each cluster. A server with an older one was the primary before a failover: what is written to it
 * is on no other server, and what was written since the failover is missing on it.
 */
export class Timelines {
  readonly #newest = new Map<string | null, string>()

  /** The newest timeline of all clusters; null if none was seen. */
  get newest(): number | null {
    const newest = [...this.#newest.values()].map((text) => Number.parseInt(text, 16))
    return newest.length === 0 ? null : Math.max(...newest)
  }

  isCurrent({ cluster, timeline }: ServerTimeline): boolean {
    return timeline >= (this.#newest.get(cluster) ?? '')
  }

  /** Notes the timeline of a server. @throws GatewayError database_old_timeline */
  accept(server: ServerTimeline): void {
    const { cluster, timeline } = server
    if (this.isCurrent(server)) this.#newest.set(cluster, timeline)
    else {
      const [own, newest] = [timeline, this.#newest.get(cluster)!].map((text) => Number.parseInt(text, 16))
      throw new GatewayError('database_old_timeline', `The server is at timeline ${own}, the store is at ${newest}.`)
    }
  }
}
