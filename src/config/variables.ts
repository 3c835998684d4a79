import * as z from 'zod'
import { parseBrokerHosts } from '../amqp/address.ts'
import {
  isBearerToken,
  isOtlpEndpoint,
  parseAddressList,
  parseBasePath,
  parseDatabaseUrl,
  parseEventList,
  parseHeaders,
  parseHostList,
  parseJwksUrl,
  parseOriginList,
  parsePublicKey,
  parseRabbitmqUrl,
  parseSecret,
} from './parsers.ts'
import { UPSTREAM_VARIABLES } from './upstream-variables.ts'
import {
  amqpNameVariable,
  type ConfigVariable,
  choiceVariable,
  integerString,
  integerVariable,
  parsedBy,
  pemFileVariable,
  textVariable,
  type VariableValue,
} from './variable.ts'

/**
 * Every variable of the gateway, in the order of .env.sample and `config`. The types of the values are derived from it.
 */
export const CONFIG_VARIABLES = {
  HOST: {
    default: '127.0.0.1',
    description: 'Listening address. Any address except loopback needs a token key, or an explicit AUTH=none.',
    constraint: 'an IP address or a host name',
    schema: z.string().regex(/^[A-Za-z0-9.:_-]+$/),
  },
  PORT: integerVariable('8080', 0, 65535, 'Listening port; 0 selects a free one.'),
  BASE_PATH: {
    default: '/',
    description:
      'Path under which everything is served, such as /gateway behind a proxy. The proxy must pass the path unchanged.',
    constraint: '/, or a path such as /gateway of letters, digits and - . _ ~',
    schema: parsedBy(parseBasePath),
  },
  TLS_CERT_FILE: pemFileVariable(
    'Certificate for HTTPS (HTTP/2 and HTTP/1.1), followed by its chain. A renewed file is loaded without a restart.',
  ),
  TLS_KEY_FILE: pemFileVariable('Private key of TLS_CERT_FILE, without a passphrase.'),
  WORKERS: {
    default: '1',
    description: 'Number of worker processes; auto for one per core. Each runs an HTTP server and a RabbitMQ consumer.',
    constraint: 'a whole number from 1 to 256, or auto',
    schema: z.union([z.literal('auto'), integerString(1, 256)]),
  },
  WORKER_TIMEOUT_SECONDS: integerVariable(
    '30',
    0,
    86400,
    'With several workers: one without a heartbeat for this long is killed and replaced; 0 disables this, for example for a debugger.',
  ),
  DATABASE_URL: {
    default: 'sqlite:data/gateway.db',
    description:
      'The store: sqlite:PATH, whose missing folders are created; or, for several hosts, postgres://user:password@host:port/database in the format of libpq.',
    secret: true,
    constraint: 'sqlite:PATH or postgres://…',
    schema: parsedBy(parseDatabaseUrl),
  },
  DATABASE_POOL_SIZE: integerVariable('6', 3, 1000, 'With postgres://: maximum connections of one worker.'),
  RABBITMQ_URL: {
    default: null,
    description:
      'amqp:// or amqps:// URL with user, password and vhost. Several hosts of a cluster, host:port,host:port, are tried in turn. If neither this nor RABBITMQ_HOST is set: embedded mode, without a broker.',
    secret: true,
    constraint: 'an amqp:// or amqps:// URL',
    schema: parsedBy(parseRabbitmqUrl),
  },
  RABBITMQ_HOST: {
    default: null,
    description: 'Host of RabbitMQ, or hosts of a cluster, separated by commas; RABBITMQ_URL takes precedence.',
    constraint: 'a host, or hosts separated by commas, without a port',
    schema: parsedBy(parseBrokerHosts),
  },
  RABBITMQ_PORT: integerVariable('5672', 1, 65535, 'Used with RABBITMQ_HOST.'),
  RABBITMQ_USER: textVariable('guest', 'Used with RABBITMQ_HOST.'),
  RABBITMQ_PASSWORD: { ...textVariable('guest', 'Used with RABBITMQ_HOST.'), secret: true },
  RABBITMQ_VHOST: textVariable('/', 'Used with RABBITMQ_HOST.'),
  RABBITMQ_CA_FILE: pemFileVariable(
    'With amqps://: trusted CA certificates for the certificate of RabbitMQ. Not set: those that Node trusts.',
  ),
  RABBITMQ_CERT_FILE: pemFileVariable('With amqps://: client certificate, if RabbitMQ requires one.'),
  RABBITMQ_KEY_FILE: pemFileVariable('Private key of RABBITMQ_CERT_FILE, without a passphrase.'),
  RABBITMQ_EXCHANGE: amqpNameVariable(
    'deepsoc_notifications_exchange',
    'Durable topic exchange to which agents publish.',
  ),
  RABBITMQ_QUEUE: amqpNameVariable('frontend_notifications_queue', 'Durable queue that the gateway consumes.'),
  RABBITMQ_BINDING: amqpNameVariable('notifications.frontend.#', 'Binding key from the exchange to the queue.'),
  RABBITMQ_QUEUE_TYPE: choiceVariable('quorum', ['quorum', 'classic'], 'Type of the queue.'),
  RABBITMQ_HEARTBEAT_SECONDS: integerVariable(
    '2',
    2,
    300,
    'The gateway gives up a connection on which nothing arrives for two to two and a half times as long; RabbitMQ gives it up after two to three times. RabbitMQ may use less.',
  ),
  RABBITMQ_PREFETCH: integerVariable('1000', 1, 65535, 'Unacknowledged messages per consumer.'),
  INGEST_BUFFER_BYTES: integerVariable(
    '33554432',
    1,
    2147483647,
    'Bytes of message bodies held between the broker and the store, per worker. Nothing more is read from the broker meanwhile.',
  ),
  ...UPSTREAM_VARIABLES,
  MAX_MESSAGE_BYTES: integerVariable(
    '1048576',
    1,
    134217728,
    'Maximum size of a body. A larger one is quarantined (AMQP) or rejected with 413 (HTTP).',
  ),
  AUTH: choiceVariable(
    null,
    ['none', 'jwt'],
    'jwt: every call needs a token; the default if a token key is set. none: no authentication.',
  ),
  JWT_SECRET: {
    default: null,
    description:
      'Key of HS256 tokens. At most one of the three key variables can be set; if none is, DeepSOC’s JWT_SECRET_KEY is used.',
    secret: true,
    constraint: 'text of at least 32 bytes',
    schema: z.string().transform(parseSecret),
  },
  JWT_PUBLIC_KEY: {
    default: null,
    description:
      'Public key of RS256, ES256 or EdDSA tokens; its type determines the algorithm. Line breaks can be written as \\n.',
    secret: true,
    constraint: 'a public key in PEM',
    schema: z.string().transform(parsePublicKey),
  },
  JWT_JWKS_URL: {
    default: null,
    description: 'URL of the key set (JWKS) of RS256, ES256 and EdDSA tokens.',
    secret: true,
    constraint: 'an https:// URL without user and password; http:// for loopback only',
    schema: parsedBy(parseJwksUrl),
  },
  JWT_ISSUER: textVariable(null, 'Issuer (iss) that a token must have.'),
  JWT_AUDIENCE: textVariable(null, 'Audience (aud) that a token must have.'),
  JWT_COOKIE: {
    default: 'access_token',
    description: 'Cookie that can carry the token.',
    constraint: 'the name of a cookie',
    schema: z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/),
  },
  JWT_DEFAULT_EVENTS: {
    default: null,
    description: 'Events of a token without an events claim. Not set: none.',
    constraint: 'up to 400 event ids, comma-separated, or *',
    schema: parsedBy(parseEventList),
  },
  JWT_DEFAULT_SCOPE: choiceVariable(
    null,
    ['chat', 'publish'],
    'Scope of a token without a scope claim; chat lets the people with DeepSOC’s tokens write. Not set: none.',
  ),
  GATEWAY_TOKEN: {
    default: null,
    description: 'Token that commands send to a gateway, unless --token-file is used.',
    secret: true,
    constraint: 'a single token, without the prefix Bearer',
    schema: z.string().refine(isBearerToken),
  },
  CORS_ORIGINS: {
    default: null,
    description: 'Other origins whose pages can call this gateway, comma-separated.',
    constraint: 'exact origins such as https://app.example or capacitor://localhost, without a path and without *',
    schema: parsedBy(parseOriginList),
  },
  ALLOWED_HOSTS: {
    default: null,
    description:
      'Without authentication: host names that are served in addition to IP addresses and names without a dot, comma-separated. Not set: no others on loopback, any with AUTH=none.',
    constraint: 'host names such as gateway.example, without a port',
    schema: parsedBy(parseHostList),
  },
  TRUSTED_PROXIES: {
    default: null,
    description:
      'Proxies whose X-Forwarded-For, -Host, -Port and -Proto, or else Forwarded, are trusted, comma-separated. Not set: none.',
    constraint: 'IP addresses or networks such as 10.0.0.0/8',
    schema: parsedBy(parseAddressList),
  },
  MAX_STREAMS: integerVariable('20000', 0, 10000000, 'Open streams of all workers together; 0 disables the limit.'),
  MAX_STREAMS_PER_TOKEN: integerVariable('1000', 0, 10000000, 'Open streams of one token; 0 disables the limit.'),
  MAX_STREAMS_PER_ADDRESS: integerVariable(
    '2000',
    0,
    10000000,
    'Open streams of one address (IPv6: of one /64), except loopback; 0 disables the limit.',
  ),
  PUBLISH_RATE: integerVariable(
    '5000',
    0,
    10000000,
    'Messages per second that one token can publish over HTTP, or one address without authentication, except loopback. 0 disables the limit.',
  ),
  PUBLISH_BURST: integerVariable('50000', 1, 10000000, 'Burst size: messages that can exceed PUBLISH_RATE at once.'),
  MAX_CONNECTIONS: integerVariable('25000', 0, 10000000, 'Connections of one worker; 0 disables the limit.'),
  MAX_CONNECTIONS_PER_ADDRESS: integerVariable(
    '2500',
    0,
    10000000,
    'Connections of one address to one worker, except loopback and TRUSTED_PROXIES; 0 disables the limit.',
  ),
  HEADERS_TIMEOUT_SECONDS: integerVariable('10', 1, 3600, 'Timeout for the headers of a request.'),
  REQUEST_TIMEOUT_SECONDS: integerVariable('60', 1, 3600, 'Timeout for a whole request.'),
  KEEP_ALIVE_TIMEOUT_SECONDS: integerVariable(
    '75',
    1,
    3600,
    'Idle connections are kept this long for the next request. It must be longer than a proxy or load balancer in front keeps its own.',
  ),
  HEARTBEAT_SECONDS: integerVariable('15', 1, 3600, 'Interval of the heartbeats of a stream.'),
  STREAM_MAX_SECONDS: integerVariable(
    '0',
    0,
    31536000,
    'Maximum duration of a stream, shortened by up to 20 % at random; 0 disables the limit.',
  ),
  SHUTDOWN_RETRY_SECONDS: integerVariable(
    '10',
    1,
    3600,
    'When the gateway stops, clients reconnect after this time, lengthened by up to 50 % at random. It should be longer than a restart takes.',
  ),
  RETENTION_DAYS: integerVariable(null, 1, 36500, 'Messages older than this are deleted. Not set: all are kept.'),
  RETENTION_MESSAGES_PER_EVENT: integerVariable(
    null,
    1,
    1000000000,
    'Only this many newest messages of each event are kept. Not set: all.',
  ),
  SEARCH: choiceVariable(
    'on',
    ['on', 'off'],
    'Search over all messages. SQLite: its index is a file beside the database, about half its size. off: no search and no index.',
  ),
  METRICS_PORT: integerVariable(
    null,
    1,
    65535,
    'Separate port for /metrics, at the same address and without authentication.',
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    default: null,
    description: 'URL to which spans are exported by OTLP over HTTP, without /v1/traces. Not set: no tracing.',
    constraint: 'an http:// or https:// URL without user and password',
    schema: z.string().refine(isOtlpEndpoint),
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    default: null,
    description: 'Headers of the trace export.',
    secret: true,
    constraint: 'name=value, comma-separated, values percent-encoded',
    schema: parsedBy(parseHeaders),
  },
  OTEL_SERVICE_NAME: textVariable('deepsoc-gateway', 'Name of this gateway in traces.'),
  LOG_LEVEL: choiceVariable(
    'info',
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    'Lowest severity that is logged.',
  ),
  NATIVE_MODULE_DIR: textVariable(
    null,
    'Folder to which the single executable extracts its SQLite module; created if missing. It must belong to its user or root and be writable for no other, on a file system without noexec. Not set: a folder of the user below the temporary folder.',
    'the path of a folder',
  ),
  SHUTDOWN_SECONDS: integerVariable('8', 1, 600, 'Maximum time from SIGTERM to the exit of the process.'),
} satisfies Record<string, ConfigVariable>

export type VariableName = keyof typeof CONFIG_VARIABLES

export type ConfigValues = { readonly [N in VariableName]: VariableValue<(typeof CONFIG_VARIABLES)[N]> }

/** The variables of which one sets the key for tokens. */
export const KEY_VARIABLES = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL'] as const satisfies readonly VariableName[]

/**
 * DeepSOC's name of JWT_SECRET. It is read if no key has a name of the gateway's own: with DeepSOC's .env, the gateway would otherwise
 * start without authentication.
 */
export const DEEPSOC_SECRET = 'JWT_SECRET_KEY'

export const VARIABLE_NAMES = Object.keys(CONFIG_VARIABLES) as readonly VariableName[]
