import * as z from 'zod'
import { DbId, parseDbId } from '../core/cursor.ts'
import { GatewayError } from '../core/errors.ts'
import { EventId } from '../core/message.ts'
import { MAX_FILTER_EVENTS } from '../core/subscription-filter.ts'

/** Schemas of the path or query parameters of a route, by name. The API documents show their output. */
export type Fields = Readonly<Record<string, z.ZodType>>

export type FieldValues<F extends Fields> = z.output<z.ZodObject<F>>

/** The event that examples use. */
export const EXAMPLE_EVENT = 'incident-7'
const MAX_VALUES = 100

/** @returns a GatewayError with status 400 */
export const invalidQuery = (message: string): GatewayError => new GatewayError('invalid_query', message)

// Without Intl, whose data takes 25 ms to load at each start of a process.
const formatCount = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',')

/** Number of items per page; values above `max` are reduced to `max`. */
export const limitField = (defaultValue: number, max: number) =>
  z
    .string()
    .refine((text) => (parseDbId(text) ?? 0) > 0, { error: `must be a whole number from 1 to ${max}` })
    .transform((text) => Math.min(Number(text), max))
    .pipe(z.number().int().min(1))
    .default(defaultValue)
    .describe(`${formatCount(defaultValue)} if absent, at most ${formatCount(max)}.`)

/** A db_id, a time in milliseconds, or the id of a row. */
export const dbIdField = (description: string) => DbId.optional().describe(description)

/** Date and time with a time zone, as Date.parse reads it in every engine. */
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/

/** A time: ISO 8601, or milliseconds since 1970, which it becomes. */
export const timeField = (description: string) =>
  z
    .string()
    .transform((text) => parseDbId(text) ?? (ISO_TIME.test(text) ? Date.parse(text) : Number.NaN))
    .refine((ms) => !Number.isNaN(ms), {
      error: 'must be a time such as 2026-11-22T10:00:00Z, or milliseconds since 1970',
    })
    .pipe(z.number().int())
    .optional()
    .describe(`${description} ISO 8601 with a time zone, or milliseconds since 1970.`)

/** Values of a comma-separated parameter; undefined if it is absent or empty. */
export const listField = (description: string, values: z.ZodType<string[]> = ListSchema) =>
  values.optional().describe(description)

/** Values of a comma-separated parameter. */
export const ListSchema = z.array(z.string()).max(MAX_VALUES, { error: `must have at most ${MAX_VALUES} values` })

/** Filter for messages. */
export const MESSAGE_FILTERS = {
  message_type: listField('Only messages of these types, comma-separated.'),
  message_from: listField('Only messages from these, comma-separated.'),
}

/** The event in a path. */
export const EventIdField = EventId.meta({ description: 'The event, percent-encoded.', example: EXAMPLE_EVENT })

/** Events of one stream, each in a separate parameter because an id can contain commas. */
export const EventsField = z
  .array(z.union([z.literal('*'), EventId]))
  .min(1)
  .max(MAX_FILTER_EVENTS)
  .meta({
    description: 'Repeated for each event; * alone selects all readable events.',
    explode: true,
    example: [EXAMPLE_EVENT],
  })

const parseEventId = (text: string): string => {
  const result = EventId.safeParse(text)
  if (!result.success) throw new GatewayError('invalid_event_id', `event_id ${result.error.issues[0]!.message}.`)
  return result.data
}

/** Parses the events of a query: `*` alone, or up to 100 ids. */
const parseEvents = (ids: readonly string[]): string[] | '*' => {
  if (ids.length === 0) throw invalidQuery('event_id is missing.')
  if (ids.includes('*')) {
    if (ids.length > 1) throw invalidQuery('event_id=* cannot be combined with other events.')
    return '*'
  }
  if (ids.length > MAX_FILTER_EVENTS)
    throw new GatewayError(
      'too_many_events',
      `The request names ${ids.length} events; at most ${MAX_FILTER_EVENTS} are allowed.`,
    )
  return ids.map(parseEventId)
}

/**
 * Returns the events that a request must be authorized for: the one in its path, or those in its query if the route
 * accepts them there; `*` if it names none, which stands for all that the caller can access.
 *
 * @throws GatewayError invalid_event_id, invalid_query or too_many_events
 */
export const requestedEvents = (
  route: { readonly path: string; readonly query?: Fields },
  path: Readonly<Record<string, string>>,
  query: URLSearchParams,
): readonly string[] | '*' => {
  if (route.path.includes('/:event_id')) return [parseEventId(path.event_id ?? '')]
  const field = route.query?.event_id
  if (field === undefined || (field.isOptional() && !query.has('event_id'))) return '*'
  return parseEvents(query.getAll('event_id'))
}

const isList = (field: z.ZodType): boolean =>
  field instanceof z.ZodOptional ? isList(field.unwrap() as z.ZodType) : field instanceof z.ZodArray

const rawValue = (query: URLSearchParams, name: string, field: z.ZodType): string | string[] | undefined => {
  const values = query.getAll(name)
  if (isList(field)) {
    if (field.meta()?.explode === true) return values.length === 0 && field.isOptional() ? undefined : values
    const items = values.flatMap((text) => text.split(',')).map((value) => value.trim())
    const nonEmpty = items.filter((value) => value !== '')
    return nonEmpty.length === 0 ? undefined : nonEmpty
  }
  if (values.length > 1) throw invalidQuery(`${name} occurs ${values.length} times.`)
  return values[0]
}

/** Validates the parameters of a path or of a query. @throws GatewayError invalid_query */
export const parseFields = <F extends Fields>(schema: z.ZodObject<F>, values: unknown): FieldValues<F> => {
  const { success, data, error } = schema.safeParse(values)
  if (success) return data
  const { path, message } = error.issues[0]!
  throw invalidQuery(`${String(path[0])} ${message}.`)
}

/** Parses the parameters of a query and ignores those that are not in the schema. @throws GatewayError invalid_query */
export const parseQuery = <F extends Fields>(schema: z.ZodObject<F>, query: URLSearchParams): FieldValues<F> => {
  const fields = Object.entries<z.ZodType>(schema.shape)
  return parseFields(schema, Object.fromEntries(fields.map(([name, field]) => [name, rawValue(query, name, field)])))
}
