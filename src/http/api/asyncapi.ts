import * as z from 'zod'
import { EXAMPLE_EVENT } from '../parameters.ts'
import { type JsonSchema, jsonSchema } from './json-schema.ts'
import { INFO_FIELDS, TOKEN_HINT } from './openapi.ts'
import { EXAMPLE_MESSAGE, STREAM_EVENTS, StreamedMessageSchema } from './schemas.ts'

/** Default names, as used unless environment variables change them. */
const EXCHANGE = 'deepsoc_notifications_exchange'
const QUEUE = 'frontend_notifications_queue'
const VERSION = '0.3.0'

/** Properties of a message that the gateway reads, besides the headers that it stores. */
const HeadersSchema = z.looseObject({
  traceparent: z.string().optional().describe('W3C Trace Context: continued in the delivered message.'),
  'x-published-by-mac': z
    .string()
    .optional()
    .describe(
      'Set by a gateway only: proves that it has added the published_by of the body. Without it, that key is delivered as null.',
    ),
  timestamp_in_ms: z
    .number()
    .int()
    .optional()
    .describe('Time at which RabbitMQ received the message, if its message interceptor is enabled.'),
})

const { message_id, ...MESSAGE } = EXAMPLE_MESSAGE
const EXAMPLE = { event_id: EXAMPLE_EVENT, ...MESSAGE }

/** An example of the `data` of each stream event. */
const EXAMPLES: Record<keyof typeof STREAM_EVENTS, unknown> = {
  hello: {
    log_id: '6f0f1c1e-5a86-4c0a-8f0a-0f7a54cf0a51',
    cursor: 120,
    first_db_id: 1,
    last_db_id: 123,
    server_time: '2026-11-22T10:00:00.123Z',
    events: [EXAMPLE_EVENT],
    filters: { message_type: ['llm_response'], message_from: null },
  },
  reset: { reason: 'history_pruned', first_db_id: 100 },
  new_message: {
    ...EXAMPLE,
    message_id,
    received_at: '2026-11-22T10:00:00.123Z',
    db_id: 121,
  },
  caught_up: { last_message_db_id: 123 },
  heartbeat: { server_time: '2026-11-22T10:00:00.123Z' },
  closing: { reason: 'shutdown' },
}

const streamMessages = (): JsonSchema =>
  Object.fromEntries(
    Object.entries(STREAM_EVENTS).map(([name, { id, data, description }]) => [
      name,
      {
        name,
        contentType: 'application/json',
        summary: description,
        description: id ? 'Carries an id, always a db_id.' : 'Carries no id.',
        payload: jsonSchema(data, 'output'),
        examples: [{ name, payload: EXAMPLES[name as keyof typeof EXAMPLES] }],
      },
    ]),
  )

const published = (): JsonSchema => ({
  name: 'published',
  title: 'A message of an agent',
  contentType: 'application/json',
  summary: 'One JSON object in UTF-8; content_type is ignored. All fields are passed through, digit for digit.',
  description:
    'The property message_id is used if the body has none. An invalid message is quarantined with its reason, and acknowledged.',
  headers: jsonSchema(HeadersSchema, 'input'),
  payload: jsonSchema(StreamedMessageSchema, 'input'),
  examples: [{ name: 'chat', payload: EXAMPLE }],
  bindings: { amqp: { contentEncoding: 'UTF-8', bindingVersion: VERSION } },
})

const channels = (): JsonSchema => ({
  notifications: {
    address: 'notifications.frontend.{event_id}.{message_type}',
    title: 'Published messages',
    description: 'Any routing key that matches the binding; this is the convention. It is used for routing only.',
    servers: [{ $ref: '#/servers/rabbitmq' }],
    parameters: {
      event_id: { description: 'The event, as one word of the routing key.' },
      message_type: { description: 'The message type, as one word of the routing key.' },
    },
    messages: { published: { $ref: '#/components/messages/published' } },
    bindings: {
      amqp: {
        is: 'routingKey',
        exchange: { name: EXCHANGE, type: 'topic', durable: true, autoDelete: false, vhost: '/' },
        bindingVersion: VERSION,
      },
    },
  },
  queue: {
    address: QUEUE,
    title: 'Queue that the gateway consumes',
    description:
      'Has a single active consumer. Messages that the broker dead-letters go to exchange and queue of the same names with the suffix .dead.',
    servers: [{ $ref: '#/servers/rabbitmq' }],
    messages: { published: { $ref: '#/components/messages/published' } },
    bindings: {
      amqp: {
        is: 'queue',
        queue: { name: QUEUE, durable: true, exclusive: false, autoDelete: false, vhost: '/' },
        bindingVersion: VERSION,
      },
    },
  },
  stream: {
    address: '/api/events/{event_id}/stream',
    title: 'Stream of an event',
    description: 'Server-sent events. /openapi.json describes the request, also for several events at once.',
    servers: [{ $ref: '#/servers/gateway' }],
    parameters: { event_id: { description: 'The event, percent-encoded.' } },
    messages: Object.fromEntries(
      Object.keys(STREAM_EVENTS).map((name) => [name, { $ref: `#/components/messages/${name}` }]),
    ),
  },
})

const SECURITY_SCHEMES = {
  account: { type: 'userPassword', description: 'An account of RabbitMQ.' },
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: TOKEN_HINT },
  ticket: { type: 'httpApiKey', in: 'query', name: 'ticket', description: 'Issued by POST /api/stream-tickets.' },
}

const securityBy = (...names: (keyof typeof SECURITY_SCHEMES)[]): JsonSchema[] =>
  names.map((name) => ({ $ref: `#/components/securitySchemes/${name}` }))

/**
 * Creates the AsyncAPI 3.0 document, which describes the AMQP interface and the events of a stream.
 *
 * @param basePath prefix of all paths; '' if there is none
 */
export const createAsyncApi = (version: string, basePath: string): JsonSchema => ({
  asyncapi: '3.0.0',
  info: {
    title: 'deepsoc-gateway',
    version,
    description:
      'Agents publish to a topic exchange; the gateway commits, then acknowledges; subscribers receive all messages in commit order. The names are the defaults of RABBITMQ_EXCHANGE, RABBITMQ_QUEUE and RABBITMQ_BINDING.',
    ...INFO_FIELDS,
    tags: [
      { name: 'amqp', description: 'Messages of agents, through RabbitMQ.' },
      { name: 'streams', description: 'Server-sent events for subscribers.' },
    ],
  },
  defaultContentType: 'application/json',
  servers: {
    rabbitmq: {
      host: 'localhost:5672',
      protocol: 'amqp',
      protocolVersion: '0.9.1',
      description: 'Configured by RABBITMQ_URL.',
    },
    gateway: {
      host: 'localhost:8080',
      protocol: 'http',
      ...(basePath === '' ? {} : { pathname: basePath }),
      description: 'Configured by HOST, PORT and BASE_PATH.',
    },
  },
  channels: channels(),
  operations: {
    consume: {
      action: 'receive',
      title: 'Commit, then acknowledge',
      description: 'A message is acknowledged once it is durable in the store, or in the quarantine if it is invalid.',
      channel: { $ref: '#/channels/queue' },
      messages: [{ $ref: '#/channels/queue/messages/published' }],
      security: securityBy('account'),
      bindings: { amqp: { ack: true, bindingVersion: VERSION } },
    },
    publish: {
      action: 'send',
      title: 'Publish messages of POST /api/events/{event_id}/messages',
      description: 'Persistent and mandatory, with publisher confirms, as agents publish.',
      channel: { $ref: '#/channels/notifications' },
      messages: [{ $ref: '#/channels/notifications/messages/published' }],
      security: securityBy('account'),
      bindings: { amqp: { deliveryMode: 2, mandatory: true, bindingVersion: VERSION } },
    },
    follow: {
      action: 'send',
      title: 'Send subscribers the messages after their cursor',
      description: 'Each message once, in ascending db_id order, first from the store and then as they are committed.',
      channel: { $ref: '#/channels/stream' },
      messages: Object.keys(STREAM_EVENTS).map((name) => ({ $ref: `#/channels/stream/messages/${name}` })),
      security: securityBy('bearer', 'ticket'),
    },
  },
  components: { securitySchemes: SECURITY_SCHEMES, messages: { published: published(), ...streamMessages() } },
})
