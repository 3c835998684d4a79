import { load, save } from '../../shared/storage.ts'

const STORAGE_KEY = 'notices'
/** Maximum number of events with notices; the oldest ones are dropped. */
const MAX_EVENTS = 500

const read = (): readonly string[] => {
  try {
    const kept: unknown = JSON.parse(load(STORAGE_KEY) ?? '[]')
    return Array.isArray(kept) ? kept.filter((one) => typeof one === 'string') : []
  } catch {
    return []
  }
}

/** Returns whether the user wants notices of an event. */
export const wantsNotices = (eventId: string): boolean => read().includes(eventId)

/** Remembers whether the user wants notices of an event. */
export const saveNotices = (eventId: string, isWanted: boolean): void => {
  const others = read().filter((one) => one !== eventId)
  const next = isWanted ? [...others, eventId] : others
  save(STORAGE_KEY, next.length === 0 ? null : JSON.stringify(next.slice(-MAX_EVENTS)))
}
