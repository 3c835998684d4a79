import { GatewayError } from '../../core/errors.ts'

/** How long the end of a session is kept, in milliseconds: a ticket or a request that is under way is not older. */
const KEPT_MS = 60_000

/** Returns the error of a ticket or request whose session has ended, as the streams of the session end with this reason. */
export const signedOut = (): GatewayError => new GatewayError('token_expired', 'The session was ended by a sign-out.')

/** Sessions that a sign-out has ended, so that neither a ticket nor a request under way outlives it. */
export class EndedSessions {
  /** Times of performance.now() by the id of the token, oldest first. */
  readonly #endedAt = new Map<string, number>()

  add(tokenId: string): void {
    const now = performance.now()
    this.#endedAt.delete(tokenId)
    this.#endedAt.set(tokenId, now)
    for (const [id, at] of this.#endedAt) {
      if (at > now - KEPT_MS) break
      this.#endedAt.delete(id)
    }
  }

  /** @param since a time of performance.now() */
  hasEndedSince(tokenId: string, since: number): boolean {
    return (this.#endedAt.get(tokenId) ?? Number.NEGATIVE_INFINITY) >= since
  }
}
