import type { NewMessage } from './message.ts'

/** Filter of a subscription: events, message types and senders. Used for streams and for REST. */
export interface SubscriptionFilter {
  /** Event ids, sorted and without duplicates, or `*` for all events. */
  readonly events: readonly string[] | '*'
  /** Message types to include, sorted; null for all. A set, since each message is compared with each filter. */
  readonly types: ReadonlySet<string> | null
  /** Senders to include, sorted; null for all. */
  readonly senders: ReadonlySet<string> | null
  /** True if messages are streamed without an event name. A property of the filter, since equal filters share bytes. */
  readonly unnamed: boolean
}

/** A stream and a request name at most this many events. */
export const MAX_FILTER_EVENTS = 100

const distinct = (values: readonly string[]): string[] => [...new Set(values)].sort()

/** Creates a filter in canonical form, so that equal filters share one channel. */
export const createFilter = (
  events: readonly string[] | '*',
  types: readonly string[] | null = null,
  senders: readonly string[] | null = null,
  unnamed = false,
): SubscriptionFilter => ({
  events: events === '*' ? '*' : distinct(events),
  types: types && new Set(distinct(types)),
  senders: senders && new Set(distinct(senders)),
  unnamed,
})

/** Matches every message. */
export const ALL_MESSAGES = createFilter('*')

/** Returns the canonical text of a filter: equal filters, and only these, have the same text. */
export const filterKey = ({ events, types, senders, unnamed }: SubscriptionFilter): string =>
  JSON.stringify([events, types && [...types], senders && [...senders], unnamed])

/**
 * Returns whether the types and senders of a filter match a message of one of its events. A message without a type or sender does not match
 * a filter on it.
 */
export const matchesFilter = (
  filter: SubscriptionFilter,
  message: Pick<NewMessage, 'message_type' | 'message_from'>,
): boolean =>
  (filter.types === null || (message.message_type !== null && filter.types.has(message.message_type))) &&
  (filter.senders === null || (message.message_from !== null && filter.senders.has(message.message_from)))
