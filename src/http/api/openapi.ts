import * as z from 'zod'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { sessionCookieName } from '../auth/cookies.ts'
import type { Fields } from '../parameters.ts'
import type { ResponseSpec, RouteAccess, RouteDescription } from '../route.ts'
import { type JsonSchema, jsonSchema } from './json-schema.ts'
import { ErrorSchema, STREAM_EVENTS } from './schemas.ts'

/** Errors that any call can return. */
const COMMON_ERRORS: readonly ErrorCode[] = [
  'invalid_path',
  'url_too_long',
  'host_forbidden',
  'malformed_request',
  'headers_too_large',
  'request_timeout',
  'overloaded',
  'internal',
]
/** Errors of a call that may need a token. */
const AUTH_ERRORS: readonly ErrorCode[] = [
  'token_missing',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'token_in_query',
  'jwks_unavailable',
  'event_forbidden',
  'scope_missing',
]
/** Errors of a call that changes something. */
const STATE_CHANGING_ERRORS: readonly ErrorCode[] = ['origin_forbidden']

const listSecurityRequirements = (access: RouteAccess): JsonSchema[] => {
  if (access === 'public') return []
  return [{ bearer: [] }, ...(access === 'stream' ? [{ ticket: [] }] : []), { session: [] }, { cookie: [] }]
}

const TAGS = [
  { name: 'messages', description: 'Read and publish with single requests.' },
  { name: 'streams', description: 'Subscribe by server-sent events.' },
  { name: 'access', description: 'The caller, tickets and revocations.' },
  { name: 'operation', description: 'Health, metrics, API documents.' },
  { name: 'page', description: 'Web pages and their assets.' },
]

const INFO = `A subscriber is defined by its cursor: live or later, it receives the messages of its events with a db_id greater than \
the cursor, in ascending order. If authentication is enabled (AUTH=jwt), calls need a token as their security describes; otherwise \
none does. HEAD is answered like GET, without a body. Every response to a request that could be read has an X-Request-Id; 429 and 503 have a Retry-After.`

/** For the `info` of both documents: license and authors as in package.json. The address is a placeholder: the project has no fixed one. */
export const INFO_FIELDS = {
  contact: {
    name: 'deepsoc-gateway contributors',
    url: 'https://deepsoc-gateway.example',
    email: 'contributors@deepsoc-gateway.example',
  },
  license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
} as const

/** Returns the error codes that a route can return. */
export const listErrorCodes = ({ method, access, errors = [] }: RouteDescription): ErrorCode[] => [
  ...new Set([
    ...errors,
    ...COMMON_ERRORS,
    ...(access === 'public' ? [] : AUTH_ERRORS),
    ...(method === 'GET' ? [] : STATE_CHANGING_ERRORS),
  ]),
]

/** Returns the description of a route, with the scope that it needs; undefined if there is neither. */
export const describeRoute = ({ access, description }: RouteDescription): string | undefined =>
  access === 'operate' ? ['Requires the scope admin.', description].join(' ').trimEnd() : description

const errorAnswers = (codes: readonly ErrorCode[]): JsonSchema => {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status)
  const answers = [...byStatus].map(([status, those]) => [
    String(status),
    {
      description: those.map((code) => `\`${code}\``).join(', '),
      content: {
        'application/json': {
          schema: {
            allOf: [{ $ref: '#/components/schemas/Error' }, { properties: { code: { enum: those } } }],
          },
        },
      },
    },
  ])
  return Object.fromEntries(answers)
}

const toContent = ({ schema, text, example }: ResponseSpec): JsonSchema => {
  if (schema !== undefined) {
    return {
      'application/json': { schema: jsonSchema(schema, 'output'), ...(example === undefined ? {} : { example }) },
    }
  }
  const { type, example: shown } = text!
  return { [type]: { schema: { type: 'string' }, ...(shown === undefined ? {} : { example: shown }) } }
}

/** An OpenAPI parameter object. */
export interface ParameterObject {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required: boolean
  readonly description: string
  readonly schema: JsonSchema
  readonly [key: string]: unknown
}

const TICKET: Fields = {
  ticket: z.string().optional().describe('Replaces the token; see POST /api/stream-tickets.'),
}

const toParameter = (place: ParameterObject['in'], name: string, field: z.ZodType): ParameterObject => {
  const { description, example, explode = false, ...schema } = jsonSchema(field, 'output')
  return {
    name,
    in: place,
    required: !field.isOptional(),
    description: String(description),
    schema,
    ...(schema.type === 'array' ? { style: 'form', explode } : {}),
    ...(example === undefined ? {} : { example }),
  }
}

/** Returns the path, query and header parameters of a route. */
export const listParameters = ({
  access,
  params = {},
  query = {},
  headers = {},
}: RouteDescription): ParameterObject[] => {
  const places = { path: params, query: access === 'stream' ? { ...query, ...TICKET } : query, header: headers }
  return Object.entries(places).flatMap(([place, fields]: [string, Fields]) =>
    Object.entries(fields).map(([name, field]) => toParameter(place as ParameterObject['in'], name, field)),
  )
}

const toOperation = (route: RouteDescription): JsonSchema => {
  const { method, path, access, tag, summary, body, responses } = route
  const description = describeRoute(route)
  const successes = Object.entries(responses).map(([status, response]) => [
    status,
    { description: response.description, content: toContent(response) },
  ])
  return {
    operationId: `${method.toLowerCase()}${path.replace(/[:/_.-]+(\w?)/g, (_all, next: string) => next.toUpperCase())}`,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: listSecurityRequirements(access),
    parameters: listParameters(route),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            description: body.description,
            content: { 'application/json': { schema: jsonSchema(body.schema, 'input'), example: body.example } },
          },
        }),
    responses: { ...Object.fromEntries(successes), ...errorAnswers(listErrorCodes(route)) },
    ...(access === 'stream' ? { 'x-events': { $ref: '#/components/x-events' } } : {}),
  }
}

const toPaths = (routes: readonly RouteDescription[]): JsonSchema => {
  const paths: Record<string, JsonSchema> = {}
  for (const route of routes) {
    const name = route.path.replace(/:(\w+)/g, '{$1}')
    paths[name] = { ...paths[name], [route.method.toLowerCase()]: toOperation(route) }
  }
  return paths
}

const streamEvents = (): JsonSchema =>
  Object.fromEntries(
    Object.entries(STREAM_EVENTS).map(([name, { id, data, description }]) => [
      name,
      { description, id, data: jsonSchema(data, 'output') },
    ]),
  )

export const TOKEN_HINT = 'A JWT with exp; its claims events and scope define what it permits. See docs/SECURITY.md.'

/**
 * Creates the OpenAPI 3.1 document, which describes the HTTP interface. It needs no handlers, and therefore no store.
 *
 * @param basePath prefix of all paths; '' if there is none
 */
export const createOpenApi = (version: string, routes: readonly RouteDescription[], basePath: string): JsonSchema => ({
  openapi: '3.1.0',
  info: { title: 'deepsoc-gateway', version, description: INFO, ...INFO_FIELDS },
  servers: [{ url: basePath || '/' }],
  tags: TAGS,
  paths: toPaths(routes),
  components: {
    schemas: { Error: jsonSchema(ErrorSchema, 'output') },
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: TOKEN_HINT },
      cookie: {
        type: 'apiKey',
        in: 'cookie',
        name: 'access_token',
        description: 'The same token; JWT_COOKIE sets the name of the cookie.',
      },
      session: {
        type: 'apiKey',
        in: 'cookie',
        name: sessionCookieName(basePath),
        description: 'The same token; set by POST /api/session, for pages of the gateway only.',
      },
      ticket: {
        type: 'apiKey',
        in: 'query',
        name: 'ticket',
        description: 'Issued by POST /api/stream-tickets; valid once.',
      },
    },
    'x-events': streamEvents(),
    'x-errors': ERRORS,
  },
})
