import * as z from 'zod'
import { MAX_FILTER_EVENTS } from '../core/subscription-filter.ts'
import { isBearerToken, parseEventList, parseUpstreamUrl } from './parsers.ts'
import { parsedBy } from './variable.ts'

/** Variables that turn the gateway into an edge. */
export const UPSTREAM_VARIABLES = {
  UPSTREAM_URL: {
    default: null,
    description:
      'Address of another gateway, with its BASE_PATH. This one then is its edge: it keeps a copy of the messages and serves it. Not with RABBITMQ_*, PostgreSQL or several WORKERS.',
    constraint: 'an http:// or https:// URL without user, password and query',
    schema: parsedBy(parseUpstreamUrl),
  },
  UPSTREAM_TOKEN: {
    default: null,
    description: 'Token for UPSTREAM_URL, with the scope edge. A file is read again for each connection.',
    secret: true,
    constraint: 'a single token, without the prefix Bearer',
    schema: z.string().refine(isBearerToken),
  },
  UPSTREAM_EVENTS: {
    default: '*',
    description: 'Events that the edge copies. After a change it copies all of them again.',
    constraint: `up to ${MAX_FILTER_EVENTS} event ids, comma-separated, or *`,
    schema: parsedBy((text) => {
      const events = parseEventList(text)
      return events === null || events === '*' || events.length <= MAX_FILTER_EVENTS ? events : null
    }),
  },
} as const
