import { load, save } from './storage.ts'

/** How far a reader has come in an event. */
export interface ReadMarker {
  /** The last db_id that was on the screen. */
  readonly id: number
  /** How many messages the event had then. */
  readonly messages: number
}

const STORAGE_KEY = 'seen'
/** So many events are remembered, those that were looked at last. */
const MOST = 1_000

type Marks = Record<string, ReadMarker>

interface Kept {
  /** The database that the marks are of. */
  readonly logId: string
  readonly marks: Marks
}

const read = (): Kept => {
  try {
    const kept = JSON.parse(load(STORAGE_KEY) ?? '') as Kept
    if (typeof kept.logId === 'string' && typeof kept.marks === 'object' && kept.marks !== null) return kept
  } catch {
    // Nothing was kept, or not by us.
  }
  return { logId: '', marks: {} }
}

/** Where the reader has come to in each event of this database. */
export const loadReadMarkers = (logId: string): ReadonlyMap<string, ReadMarker> => {
  const kept = read()
  return new Map(kept.logId === logId ? Object.entries(kept.marks) : [])
}

/** Everything of an event up to here was on the screen. */
export const saveReadMarker = (logId: string, eventId: string, seen: ReadMarker): void => {
  const kept = read()
  const marks = new Map(kept.logId === logId ? Object.entries(kept.marks) : [])
  if ((marks.get(eventId)?.id ?? -1) >= seen.id) return
  // At the end, since the oldest are forgotten first.
  marks.delete(eventId)
  marks.set(eventId, seen)
  save(STORAGE_KEY, JSON.stringify({ logId, marks: Object.fromEntries([...marks].slice(-MOST)) }))
}

/** Tells when another tab has kept something. @returns ends it */
export const onReadMarkersChange = (heard: () => void): (() => void) => {
  const onStorage = ({ key }: StorageEvent): void => void (key === STORAGE_KEY && heard())
  addEventListener('storage', onStorage)
  return () => removeEventListener('storage', onStorage)
}
