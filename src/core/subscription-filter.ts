import type { NewMessage } from './message.ts'

/** What a reader wants to see: events, and filters on type and sender. The same for streams and REST. */
export interface SubscriptionFilter {
  /** Event ids, sorted and without doubles; `*`: all events. */
  readonly events: readonly string[] | '*'
  /** Message types to keep, sorted; null: all. */
  readonly types: readonly string[] | null
  /** Senders to keep, sorted; null: all. */
  readonly senders: readonly string[] | null
}

const distinct = (values: readonly string[]): string[] => [...new Set(values)].sort()

/** Makes a selection in its one canonical form, so that equal wishes share one channel. */
export const createFilter = (
  events: readonly string[] | '*',
  types: readonly string[] | null = null,
  froms: readonly string[] | null = null,
): SubscriptionFilter => ({
  events: events === '*' ? '*' : distinct(events),
  types: types && distinct(types),
  senders: froms && distinct(froms),
})

/** The canonical text of a selection: equal for equal selections and for no others. */
export const filterKey = (filter: SubscriptionFilter): string =>
  JSON.stringify([filter.events, filter.types, filter.senders])

/** True when the filters let a message of a selected event through. A message without a type has none of them. */
export const matchesFilter = (
  filter: SubscriptionFilter,
  message: Pick<NewMessage, 'message_type' | 'message_from'>,
): boolean =>
  (filter.types === null || (message.message_type !== null && filter.types.includes(message.message_type))) &&
  (filter.senders === null || (message.message_from !== null && filter.senders.includes(message.message_from)))
