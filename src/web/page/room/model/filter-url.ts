import type { MessageFilter } from './filter.ts'
import { ROLES, type Role } from './roles.ts'

const isRole = (text: string): text is Role => (ROLES as readonly string[]).includes(text)

const toTime = (text: string | null): number | null => {
  const time = text === null ? Number.NaN : Date.parse(text)
  return Number.isNaN(time) ? null : time
}

/** Returns a filter as the query of a URL, with its `?`; empty without a filter. Pure. */
export const filterToQuery = ({ roles, types, text, from, to, attention }: MessageFilter): string => {
  const query = new URLSearchParams()
  if (text.trim() !== '') query.set('q', text)
  for (const role of roles) query.append('role', role)
  for (const type of types) query.append('message_type', type)
  if (from !== null) query.set('since', new Date(from).toISOString())
  if (to !== null) query.set('until', new Date(to).toISOString())
  if (attention) query.set('attention', '1')
  const written = query.toString()
  return written === '' ? '' : `?${written}`
}

/** Returns the filter in the query of a URL; what is invalid or unknown is ignored. Pure. */
export const filterFromQuery = (search: string): MessageFilter => {
  const query = new URLSearchParams(search)
  return {
    roles: new Set(query.getAll('role').filter(isRole)),
    types: new Set(query.getAll('message_type')),
    text: query.get('q') ?? '',
    from: toTime(query.get('since')),
    to: toTime(query.get('until')),
    attention: query.get('attention') === '1',
  }
}
