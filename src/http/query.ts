import { z } from 'zod'
import { DbId } from '../core/cursor.ts'
import { GatewayError } from '../core/errors.ts'
import { EventId } from '../core/message.ts'

const bad = (message: string): GatewayError => new GatewayError('invalid_query', message)

/** How many things a page holds; what is greater than the most counts as the most. */
export const Limit = DbId.pipe(z.number().int().min(1))

/** The values of a filter. */
export const Filter = z.array(z.string()).max(100)

/** @throws GatewayError invalid_query when a parameter that has one value is given twice */
export const single = (query: URLSearchParams, name: string): string | undefined => {
  const values = query.getAll(name)
  if (values.length > 1) throw bad(`${name} is given ${values.length} times.`)
  return values[0]
}

/** A whole number from 1 up; what is greater than `most` counts as `most`. */
export const limitOf = (query: URLSearchParams, usual: number, most: number): number => {
  const text = single(query, 'limit')
  if (text === undefined) return usual
  const limit = Limit.safeParse(text)
  if (!limit.success) throw bad(`limit must be a whole number from 1 to ${most}.`)
  return Math.min(limit.data, most)
}

/** A db_id, or undefined where the parameter is absent. */
export const dbIdOf = (query: URLSearchParams, name: string): number | undefined => {
  const text = single(query, name)
  if (text === undefined) return undefined
  const id = DbId.safeParse(text)
  if (!id.success) throw bad(`${name} must be a whole number from 0 up.`)
  return id.data
}

/** The values of a comma-separated filter; null where it is absent or empty. */
export const filterOf = (query: URLSearchParams, name: string): string[] | null => {
  const values = query
    .getAll(name)
    .flatMap((text) => text.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
  if (!Filter.safeParse(values).success) throw bad(`${name} takes at most 100 values.`)
  return values.length === 0 ? null : values
}

/** @throws GatewayError invalid_event_id */
export const eventIdOf = (text: string): string => {
  const result = EventId.safeParse(text)
  if (!result.success) throw new GatewayError('invalid_event_id', `event_id ${result.error.issues[0]!.message}.`)
  return result.data
}
