import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { type JsonSchema, jsonSchema } from './json-schema.ts'
import { MESSAGE_OPERATIONS } from './message-operations.ts'
import {
  AUTH_ERRORS,
  COMMON_ERRORS,
  type Operation,
  type Operations,
  type ResponseSpec,
  STATE_CHANGING_ERRORS,
} from './operation.ts'
import { OPERATOR_OPERATIONS } from './operator-operations.ts'
import { ACCESS_OPERATIONS } from './other-operations.ts'
import { ErrorAnswer, STREAM_EVENTS } from './schemas.ts'

/** Every call there is. A route without its entry here makes test/repo/api-documents.test.ts fail. */
export const OPERATIONS: Operations = { ...MESSAGE_OPERATIONS, ...ACCESS_OPERATIONS, ...OPERATOR_OPERATIONS }

const SECURITY = {
  nothing: [],
  token: [{ bearer: [] }, { cookie: [] }],
  stream: [{ bearer: [] }, { ticket: [] }, { cookie: [] }],
}

const TAGS = [
  { name: 'messages', description: 'Reading and publishing by single calls.' },
  { name: 'streams', description: 'Following by server-sent events.' },
  { name: 'access', description: 'Tickets and revocations.' },
  { name: 'operation', description: 'Health, figures, documents.' },
  { name: 'page', description: 'What browsers get.' },
]

const INFO = `A reader is a cursor: what it receives, live or later, is the messages of its events with a db_id greater than \
the cursor, ascending. Where a key for tokens is set (AUTH=jwt), calls need a token as their security says; without one \
none of them does. HEAD answers like GET, without a body. Every answer has an X-Request-Id, a 429 and a 503 a Retry-After.`

/** The codes that a call can answer with. */
export const errorsOf = (method: string, { needs, errors = [] }: Operation): ErrorCode[] => {
  const changing = method !== 'GET'
  return [
    ...new Set([
      ...errors,
      ...COMMON_ERRORS,
      ...(needs === 'nothing' ? [] : AUTH_ERRORS),
      ...(changing ? STATE_CHANGING_ERRORS : []),
    ]),
  ]
}

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

const contentOf = ({ schema, text, example }: ResponseSpec): JsonSchema => {
  if (schema !== undefined) {
    return {
      'application/json': { schema: jsonSchema(schema, 'output'), ...(example === undefined ? {} : { example }) },
    }
  }
  const { type, example: shown } = text!
  return { [type]: { schema: { type: 'string' }, ...(shown === undefined ? {} : { example: shown }) } }
}

const parametersOf = ({ parameters = [] }: Operation): JsonSchema[] =>
  parameters.map(({ name, in: place, schema, meaning, required = false, explode, example }) => {
    const described = jsonSchema(schema, 'output')
    return {
      name,
      in: place,
      required,
      description: meaning,
      schema: described,
      ...(described.type === 'array' ? { style: 'form', explode: explode ?? false } : {}),
      ...(example === undefined ? {} : { example }),
    }
  })

const operationOf = (method: string, path: string, operation: Operation): JsonSchema => {
  const { tag, summary, description, needs, body, answers } = operation
  const successes = Object.entries(answers).map(([status, answer]) => [
    status,
    { description: answer.meaning, content: contentOf(answer) },
  ])
  return {
    operationId: `${method.toLowerCase()}${path.replace(/[:/_.-]+(\w?)/g, (_all, next: string) => next.toUpperCase())}`,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: SECURITY[needs],
    parameters: parametersOf(operation),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            description: body.meaning,
            content: { 'application/json': { schema: jsonSchema(body.schema, 'input'), example: body.example } },
          },
        }),
    responses: { ...Object.fromEntries(successes), ...errorAnswers(errorsOf(method, operation)) },
    ...(needs === 'stream' ? { 'x-events': { $ref: '#/components/x-events' } } : {}),
  }
}

const paths = (): JsonSchema => {
  const made: Record<string, JsonSchema> = {}
  for (const [route, operation] of Object.entries(OPERATIONS)) {
    const [method = '', path = ''] = route.split(' ')
    const name = path.replace(/:(\w+)/g, '{$1}')
    made[name] = { ...made[name], [method.toLowerCase()]: operationOf(method, path, operation) }
  }
  return made
}

const streamEvents = (): JsonSchema =>
  Object.fromEntries(
    Object.entries(STREAM_EVENTS).map(([name, { id, data, meaning }]) => [
      name,
      { description: meaning, id, data: jsonSchema(data, 'output') },
    ]),
  )

const tokenHint = 'A JWT with exp; its claims events and scope say what it opens. docs/SECURITY.md.'

/** The HTTP side as OpenAPI 3.1. */
export const makeOpenApi = (version: string): JsonSchema => ({
  openapi: '3.1.0',
  info: { title: 'deepsoc-gateway', version, description: INFO },
  servers: [{ url: '/' }],
  tags: TAGS,
  paths: paths(),
  components: {
    schemas: { Error: jsonSchema(ErrorAnswer, 'output') },
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: tokenHint },
      cookie: {
        type: 'apiKey',
        in: 'cookie',
        name: 'access_token',
        description: 'The same token; JWT_COOKIE names it.',
      },
      ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'Of POST /api/stream-tickets; good once.' },
    },
    'x-events': streamEvents(),
    'x-errors': ERRORS,
  },
})
