import { load, save } from './storage.ts'

/** Read position of the user in an event. */
export interface ReadMarker {
  /** The last db_id that was displayed. */
  readonly id: number
  /** Number of messages of the event at that time. */
  readonly messages: number
}

const STORAGE_KEY = 'seen'
/** Maximum number of markers; the least recently updated are dropped. */
const MAX_MARKERS = 1_000

type Marks = Record<string, ReadMarker>

interface Kept {
  /** The log_id to which the markers belong. */
  readonly logId: string
  readonly marks: Marks
}

const read = (): Kept => {
  try {
    const kept = JSON.parse(load(STORAGE_KEY) ?? '') as Kept
    if (typeof kept.logId === 'string' && typeof kept.marks === 'object' && kept.marks !== null) return kept
  } catch {
    // Missing or invalid.
  }
  return { logId: '', marks: {} }
}

/** Returns the read position of each event of this database. */
export const loadReadMarkers = (logId: string): ReadonlyMap<string, ReadMarker> => {
  const kept = read()
  return new Map(kept.logId === logId ? Object.entries(kept.marks) : [])
}

/** Saves a read position, unless a later one is stored. */
export const saveReadMarker = (logId: string, eventId: string, seen: ReadMarker): void => {
  const kept = read()
  const marks = new Map(kept.logId === logId ? Object.entries(kept.marks) : [])
  const last = marks.get(eventId)
  // Reinsert at the end, since the first ones are dropped.
  marks.delete(eventId)
  marks.set(eventId, last !== undefined && last.id >= seen.id ? last : seen)
  save(STORAGE_KEY, JSON.stringify({ logId, marks: Object.fromEntries([...marks].slice(-MAX_MARKERS)) }))
}

/** Calls back when another tab has saved a marker. @returns a function that unsubscribes */
export const onReadMarkersChange = (heard: () => void): (() => void) => {
  const onStorage = ({ key }: StorageEvent): void => void (key === STORAGE_KEY && heard())
  addEventListener('storage', onStorage)
  return () => removeEventListener('storage', onStorage)
}
