import { createHash, randomBytes } from 'node:crypto'
import type { CoordinatorClient } from '../../cluster/coordinator.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Principal } from './claims.ts'
import { type EndedSessions, signedOut } from './ended-sessions.ts'
import { tokenExpired } from './token-verifier.ts'

/** Lifetime of a ticket, in milliseconds. */
export const TICKET_TTL_MS = 30_000
/** Maximum number of unused tickets per token. */
const MAX_TICKETS = 1_000

const ticketKey = (ticket: string): string => `ticket ${createHash('sha256').update(ticket).digest('base64url')}`

/** One-use tickets for streams: EventSource cannot send headers, and a token in a URL would be written to logs. */
export class Tickets {
  readonly #coordinate: CoordinatorClient
  readonly #endedSessions: EndedSessions

  constructor(coordinate: CoordinatorClient, endedSessions: EndedSessions) {
    this.#coordinate = coordinate
    this.#endedSessions = endedSessions
  }

  /**
   * @param principal the holder, who can use it until the token expires; null if AUTH=none
   * @returns the ticket. It is stored nowhere: the coordinator only has its hash
   * @throws GatewayError too_many_tickets or overloaded
   */
  async issue(principal: Principal | null): Promise<string> {
    if (principal !== null) {
      const rate = MAX_TICKETS / (TICKET_TTL_MS / 1_000)
      const key = `tickets ${principal.tokenId}`
      const { ok, waitMs = 0 } = await this.#coordinate({ do: 'consume', key, amount: 1, rate, burst: MAX_TICKETS })
      if (!ok)
        throw new GatewayError('too_many_tickets', 'Too many tickets of this token are unused.', {
          retryAfterMs: waitMs,
        })
    }
    const ticket = randomBytes(32).toString('base64url')
    const value = JSON.stringify(principal)
    const { ok } = await this.#coordinate({ do: 'put', id: ticketKey(ticket), value, ms: TICKET_TTL_MS })
    if (!ok) throw new GatewayError('overloaded', 'The gateway holds its maximum number of unused tickets.')
    return ticket
  }

  /**
   * Consumes a ticket, even if it turns out to be invalid. The result only allows opening streams.
   *
   * @throws GatewayError ticket_invalid, or token_expired if its token has expired or its session has ended meanwhile
   */
  async redeem(ticket: string): Promise<Principal> {
    const { value } = await this.#coordinate({ do: 'take', id: ticketKey(ticket) })
    const principal = value === undefined ? null : (JSON.parse(value) as Principal | null)
    if (principal === null) throw new GatewayError('ticket_invalid', 'The ticket is unknown, already used or expired.')
    if (principal.expiresAt <= Date.now()) throw tokenExpired()
    if (
      principal.hasSession &&
      this.#endedSessions.hasEndedSince(principal.tokenId, performance.now() - TICKET_TTL_MS)
    ) {
      throw signedOut()
    }
    return { ...principal, publishScope: null, publishableEvents: [], admin: false, edge: false }
  }
}
