import type { MessageStore, Revocation } from '../../store/store.ts'
import type { Principal } from './claims.ts'

export interface RevocationsOptions {
  readonly log: MessageStore
  /** Ends the streams that a revocation hits. */
  readonly onRevoked: (revocation: Revocation) => void
  /** Tells the siblings, who call `heard`. */
  readonly broadcast: (revocation: Revocation) => void
}

/** The revoked subjects. The store keeps them across restarts; each worker has a copy, which the other workers update. */
export class Revocations {
  readonly #options: RevocationsOptions
  readonly #bySubject = new Map<string, Revocation>()
  /** Counts what was heard, so that a slow look at the log does not undo it. */
  #changes = 0

  constructor(options: RevocationsOptions) {
    this.#options = options
  }

  /** Reads what stands. Called before the first request is taken. @throws GatewayError storage_* */
  async start(): Promise<void> {
    for (const revocation of await this.#options.log.revocations()) this.#bySubject.set(revocation.subject, revocation)
  }

  /**
   * Takes over what stands in the log, where other hosts may have changed it.
   *
   * @throws GatewayError storage_* or database_*
   */
  async refresh(): Promise<void> {
    let before: number
    let standing: Revocation[]
    do {
      before = this.#changes
      standing = await this.#options.log.revocations()
    } while (before !== this.#changes)
    const subjects = new Set(standing.map(({ subject }) => subject))
    for (const subject of this.#bySubject.keys()) if (!subjects.has(subject)) this.#bySubject.delete(subject)
    for (const revocation of standing) if (!isKnown(this.#bySubject, revocation)) this.apply(revocation)
  }

  /** Durable first, so that no restart lets in again whom an answer called revoked. @throws GatewayError storage_* */
  async add(revocation: Revocation): Promise<Revocation> {
    const standing = await this.#options.log.revoke(revocation, Date.now())
    this.apply(standing)
    this.#options.broadcast(standing)
    return standing
  }

  /** @returns whether there was one. @throws GatewayError storage_* */
  async remove(subject: string): Promise<boolean> {
    const there = await this.#options.log.removeRevocation(subject)
    const lifted = { subject, issued_before: 0, until: 0 }
    this.apply(lifted)
    this.#options.broadcast(lifted)
    return there
  }

  /** Sets the revocation of a subject. One that has expired already removes it. */
  apply(revocation: Revocation): void {
    this.#changes++
    if (isExpired(revocation, Date.now())) {
      this.#bySubject.delete(revocation.subject)
      return
    }
    // Two of two workers may be heard in another order than the log has them.
    const known = this.#bySubject.get(revocation.subject)
    if (known !== undefined && known.issued_before > revocation.issued_before) return
    this.#bySubject.set(revocation.subject, revocation)
    this.#options.onRevoked(revocation)
  }

  /** Whether a token is refused. One that does not say when it was issued cannot show that it is newer. */
  isRevoked({ subject, issuedAt }: Pick<Principal, 'subject' | 'issuedAt'>): boolean {
    const revocation = subject === null ? undefined : this.#bySubject.get(subject)
    if (revocation === undefined) return false
    if (!isExpired(revocation, Date.now())) return coversToken(revocation, issuedAt)
    this.#bySubject.delete(revocation.subject)
    return false
  }
}

const isKnown = (known: ReadonlyMap<string, Revocation>, { subject, issued_before, until }: Revocation): boolean => {
  const one = known.get(subject)
  return one !== undefined && one.issued_before === issued_before && one.until === until
}

const isExpired = ({ until }: Revocation, now: number): boolean => until !== null && until <= now

/** `iat` counts whole seconds: a token of the same second counts as older. */
export const coversToken = ({ issued_before }: Revocation, issuedAt: number | null): boolean =>
  issuedAt === null || Math.floor(issuedAt / 1_000) <= Math.floor(issued_before / 1_000)
