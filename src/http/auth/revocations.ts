import type { MessageStore, Revocation } from '../../store/store.ts'
import type { Principal } from './claims.ts'

export interface RevocationsOptions {
  readonly store: MessageStore
  /** Closes the streams that a revocation applies to. */
  readonly onRevoked: (revocation: Revocation) => void
  /** Sends a revocation to the other workers, which call `apply`. */
  readonly broadcast: (revocation: Revocation) => void
}

/**
 * The revoked subjects. The store keeps them across restarts; each worker has a copy, which the other workers update.
 */
export class Revocations {
  readonly #options: RevocationsOptions
  readonly #bySubject = new Map<string, Revocation>()
  /** Number of changes applied, so that a slow read of the store does not undo a newer one. */
  #changes = 0

  constructor(options: RevocationsOptions) {
    this.#options = options
  }

  /** Returns the time by which revocations begin and expire on all hosts, in milliseconds since 1970. */
  now(): number {
    return this.#options.store.now?.() ?? Date.now()
  }

  /** Loads the revocations. Must be called before the first request is accepted. @throws GatewayError storage_* */
  async start(): Promise<void> {
    for (const revocation of await this.#options.store.revocations())
      this.#bySubject.set(revocation.subject, revocation)
  }

  /**
   * Reloads the revocations from the store, where other hosts may have changed them.
   *
   * @throws GatewayError storage_* or database_*
   */
  async refresh(): Promise<void> {
    let before: number
    let current: Revocation[]
    do {
      before = this.#changes
      current = await this.#options.store.revocations()
    } while (before !== this.#changes)
    const subjects = new Set(current.map(({ subject }) => subject))
    for (const subject of this.#bySubject.keys()) if (!subjects.has(subject)) this.#bySubject.delete(subject)
    for (const revocation of current) if (!isApplied(this.#bySubject, revocation)) this.apply(revocation)
  }

  /**
   * Stores a revocation before applying it, so that no restart can undo one that was confirmed.
   *
   * @throws GatewayError storage_*
   */
  async add(revocation: Revocation): Promise<Revocation> {
    const current = await this.#options.store.revoke(revocation, this.now())
    this.apply(current)
    this.#options.broadcast(current)
    return current
  }

  /** @returns true if there was one. @throws GatewayError storage_* */
  async remove(subject: string): Promise<boolean> {
    const existed = await this.#options.store.removeRevocation(subject)
    const removal = { subject, issued_before: 0, until: 0 }
    this.apply(removal)
    this.#options.broadcast(removal)
    return existed
  }

  /** Sets the revocation of a subject. An expired one removes it. */
  apply(revocation: Revocation): void {
    this.#changes++
    if (isExpired(revocation, this.now())) {
      this.#bySubject.delete(revocation.subject)
      return
    }
    // Broadcasts from two workers can arrive in a different order than they were committed.
    const known = this.#bySubject.get(revocation.subject)
    if (known !== undefined && known.issued_before > revocation.issued_before) return
    this.#bySubject.set(revocation.subject, revocation)
    this.#options.onRevoked(revocation)
  }

  /**
   * True if the token is revoked. Without an issue time (iat) it cannot prove that it is newer, so it counts as
   * revoked.
   */
  isRevoked({ subject, issuedAt }: Pick<Principal, 'subject' | 'issuedAt'>): boolean {
    const revocation = subject === null ? undefined : this.#bySubject.get(subject)
    if (revocation === undefined) return false
    if (!isExpired(revocation, this.now())) return coversToken(revocation, issuedAt)
    this.#bySubject.delete(revocation.subject)
    return false
  }
}

const isApplied = (known: ReadonlyMap<string, Revocation>, { subject, issued_before, until }: Revocation): boolean => {
  const existing = known.get(subject)
  return existing !== undefined && existing.issued_before === issued_before && existing.until === until
}

const isExpired = ({ until }: Revocation, now: number): boolean => until !== null && until <= now

/** `iat` is in whole seconds: a token issued in the same second counts as older. */
export const coversToken = ({ issued_before }: Revocation, issuedAt: number | null): boolean =>
  issuedAt === null || Math.floor(issuedAt / 1_000) <= Math.floor(issued_before / 1_000)
