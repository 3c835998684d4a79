import { z } from 'zod'
import { DbId } from '../core/cursor.ts'
import { GatewayError } from '../core/errors.ts'
import { EventId } from '../core/message.ts'

const bad = (message: string): GatewayError => new GatewayError('invalid_query', message)

/** How many things a page holds; what is greater than the most counts as the most. */
export const Limit = DbId.pipe(z.number().int().min(1))

/** The values of a filter. */
export const FilterSchema = z.array(z.string()).max(100)

/** @throws GatewayError invalid_query when a parameter that has one value is given twice */
export const singleParam = (query: URLSearchParams, name: string): string | undefined => {
  const values = query.getAll(name)
  if (values.length > 1) throw bad(`${name} is given ${values.length} times.`)
  return values[0]
}

/** A whole number from 1 up; what is greater than `most` counts as `most`. */
export const parseLimit = (query: URLSearchParams, defaultValue: number, max: number): number => {
  const text = singleParam(query, 'limit')
  if (text === undefined) return defaultValue
  const limit = Limit.safeParse(text)
  if (!limit.success) throw bad(`limit must be a whole number from 1 to ${max}.`)
  return Math.min(limit.data, max)
}

/** A db_id, or undefined where the parameter is absent. */
export const parseDbIdParam = (query: URLSearchParams, name: string): number | undefined => {
  const text = singleParam(query, name)
  if (text === undefined) return undefined
  const id = DbId.safeParse(text)
  if (!id.success) throw bad(`${name} must be a whole number from 0 up.`)
  return id.data
}

/** The values of a comma-separated filter; null where it is absent or empty. */
export const parseListParam = (query: URLSearchParams, name: string): string[] | null => {
  const values = query
    .getAll(name)
    .flatMap((text) => text.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
  if (!FilterSchema.safeParse(values).success) throw bad(`${name} takes at most 100 values.`)
  return values.length === 0 ? null : values
}

/** @throws GatewayError invalid_event_id */
export const parseEventId = (text: string): string => {
  const result = EventId.safeParse(text)
  if (!result.success) throw new GatewayError('invalid_event_id', `event_id ${result.error.issues[0]!.message}.`)
  return result.data
}
