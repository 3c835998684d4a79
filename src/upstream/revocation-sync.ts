import type { Revocation } from '../store/store.ts'

/** The revocations of an edge: each change is stored before it is applied. */
export interface RevocationTarget {
  list(): Promise<Revocation[]>
  add(revocation: Revocation): Promise<unknown>
  remove(subject: string): Promise<unknown>
}

/**
 * Makes the revocations equal to those of the core.
 *
 * @param now milliseconds since 1970
 * @throws GatewayError storage_*
 */
export const syncRevocations = async (
  target: RevocationTarget,
  revocations: readonly Revocation[],
  now: number,
): Promise<void> => {
  const wanted = new Map(
    revocations.filter(({ until }) => until === null || until > now).map((one) => [one.subject, one]),
  )
  const known = new Map((await target.list()).map((one) => [one.subject, one]))
  for (const subject of known.keys()) if (!wanted.has(subject)) await target.remove(subject)
  for (const [subject, revocation] of wanted) {
    const current = known.get(subject)
    if (current?.issued_before === revocation.issued_before && current.until === revocation.until) continue
    // Of two revocations of a subject the later times apply, so one that was removed and added with earlier ones replaces it.
    if (current !== undefined && !isLater(revocation, current)) await target.remove(subject)
    await target.add(revocation)
  }
}

const isLater = (next: Revocation, current: Revocation): boolean =>
  next.issued_before >= current.issued_before &&
  (next.until === null || (current.until !== null && next.until >= current.until))
