import { recall, remember } from './storage.ts'

/** How far a reader has come in an event. */
export interface Seen {
  /** The last db_id that was on the screen. */
  readonly id: number
  /** How many messages the event had then. */
  readonly messages: number
}

const KEPT = 'seen'
/** So many events are remembered, those that were looked at last. */
const MOST = 1_000

type Marks = Record<string, Seen>

interface Kept {
  /** The database that the marks are of. */
  readonly logId: string
  readonly marks: Marks
}

const read = (): Kept => {
  try {
    const kept = JSON.parse(recall(KEPT) ?? '') as Kept
    if (typeof kept.logId === 'string' && typeof kept.marks === 'object' && kept.marks !== null) return kept
  } catch {
    // Nothing was kept, or not by us.
  }
  return { logId: '', marks: {} }
}

/** Where the reader has come to in each event of this database. */
export const seenMarks = (logId: string): ReadonlyMap<string, Seen> => {
  const kept = read()
  return new Map(kept.logId === logId ? Object.entries(kept.marks) : [])
}

/** Everything of an event up to here was on the screen. */
export const markSeen = (logId: string, eventId: string, seen: Seen): void => {
  const kept = read()
  const marks = new Map(kept.logId === logId ? Object.entries(kept.marks) : [])
  if ((marks.get(eventId)?.id ?? -1) >= seen.id) return
  // At the end, since the oldest are forgotten first.
  marks.delete(eventId)
  marks.set(eventId, seen)
  remember(KEPT, JSON.stringify({ logId, marks: Object.fromEntries([...marks].slice(-MOST)) }))
}

/** Tells when another tab has kept something. @returns ends it */
export const onSeenElsewhere = (heard: () => void): (() => void) => {
  const onStorage = ({ key }: StorageEvent): void => void (key === KEPT && heard())
  addEventListener('storage', onStorage)
  return () => removeEventListener('storage', onStorage)
}
