import type { NewMessage } from './message.ts'

/** What a reader wants to see: events, and filters on type and sender. The same for streams and REST. */
export interface Selection {
  /** Event ids, sorted and without doubles; `*`: all events. */
  readonly events: readonly string[] | '*'
  /** Message types to keep, sorted; null: all. */
  readonly types: readonly string[] | null
  /** Senders to keep, sorted; null: all. */
  readonly froms: readonly string[] | null
}

const distinct = (values: readonly string[]): string[] => [...new Set(values)].sort()

/** Makes a selection in its one canonical form, so that equal wishes share one channel. */
export const selection = (
  events: readonly string[] | '*',
  types: readonly string[] | null = null,
  froms: readonly string[] | null = null,
): Selection => ({
  events: events === '*' ? '*' : distinct(events),
  types: types && distinct(types),
  froms: froms && distinct(froms),
})

/** The canonical text of a selection: equal for equal selections and for no others. */
export const selectionKey = (wanted: Selection): string => JSON.stringify([wanted.events, wanted.types, wanted.froms])

/** True when the filters let a message of a selected event through. A message without a type has none of them. */
export const passesFilters = (wanted: Selection, message: Pick<NewMessage, 'message_type' | 'message_from'>): boolean =>
  (wanted.types === null || (message.message_type !== null && wanted.types.includes(message.message_type))) &&
  (wanted.froms === null || (message.message_from !== null && wanted.froms.includes(message.message_from)))
