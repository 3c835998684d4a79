import { z } from 'zod'
import { isAddressList, isEventList, isHostName, isKeySetUrl, isOrigin, isToken, listOf } from './config-parts.ts'

/** One environment variable: its rule, its default and what it means, in one place. */
export interface Variable {
  readonly name: string
  /** Text of the default as the sample file shows it; null: none. */
  readonly default: string | null
  readonly meaning: string
  /** Never shown; also read from the file that NAME_FILE names. */
  readonly secret?: true
  /** The rule of a value that is given, in words. */
  readonly rule: string
  readonly schema: z.ZodType<unknown, string>
}

const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/)
    .transform(Number)
    .refine((value) => value >= least && value <= most)

const text = z.string().min(1)

/** Exchange, queue and binding names are AMQP short strings. */
const shortName = z
  .string()
  .min(1)
  .refine((value) => Buffer.byteLength(value) <= 240 && !/\p{Cc}/u.test(value))

const number = (name: string, usual: string | null, least: number, most: number, meaning: string): Variable => ({
  name,
  default: usual,
  meaning,
  rule: `a whole number from ${least} to ${most}`,
  schema: wholeNumber(least, most),
})

const name = (variable: string, usual: string, meaning: string): Variable => ({
  name: variable,
  default: usual,
  meaning,
  rule: '1 to 240 bytes of text without control characters',
  schema: shortName,
})

const file = (variable: string, meaning: string): Variable => ({
  name: variable,
  default: null,
  meaning,
  rule: 'the path of a file in PEM',
  schema: text,
})

const isDecodable = (part: string): boolean => {
  try {
    decodeURIComponent(part)
    return true
  } catch {
    return false
  }
}

const url = (...protocols: string[]) =>
  z.string().refine((value) => {
    if (!URL.canParse(value)) return false
    const { protocol, hostname, username, password, pathname } = new URL(value)
    return protocols.includes(protocol) && hostname !== '' && [username, password, pathname].every(isDecodable)
  })

/** Every variable of the gateway, in the order of .env.sample and `config`. */
export const VARIABLES: readonly Variable[] = [
  {
    name: 'HOST',
    default: '127.0.0.1',
    meaning: 'Listening address. Anything but loopback needs a key for tokens, or AUTH=none in so many words.',
    rule: 'an IP address or a host name',
    schema: z.string().regex(/^[A-Za-z0-9.:_-]+$/),
  },
  number('PORT', '8080', 0, 65535, 'Listening port; 0 takes any free one.'),
  file(
    'TLS_CERT_FILE',
    'Serve HTTPS (HTTP/2, and HTTP/1.1 to who cannot) by this certificate, with its chain behind it. New files are taken while the gateway runs.',
  ),
  file('TLS_KEY_FILE', 'The private key of TLS_CERT_FILE, without a passphrase.'),
  {
    name: 'WORKERS',
    default: '1',
    meaning: 'Worker processes; auto: one per core. Each runs one HTTP server and one RabbitMQ consumer.',
    rule: 'a whole number from 1 to 256, or auto',
    schema: z.union([z.literal('auto'), wholeNumber(1, 256)]),
  },
  {
    name: 'DATABASE_URL',
    default: 'sqlite:data/gateway.db',
    meaning:
      'The log: sqlite:PATH, whose missing folders are made; or, for several hosts, postgres://user:password@host:port/database, as libpq reads it.',
    secret: true,
    rule: 'sqlite:PATH or postgres://…',
    schema: z.string().regex(/^(sqlite:.+|postgres(ql)?:\/\/.+)$/s),
  },
  number('DATABASE_CONNECTIONS', '6', 3, 1000, 'With postgres://: connections of one worker at most.'),
  {
    name: 'RABBITMQ_URL',
    default: null,
    meaning:
      'amqp:// or amqps://, with user, password and vhost. Neither this nor RABBITMQ_HOST: embedded mode, without a broker.',
    secret: true,
    rule: 'an amqp:// or amqps:// URL',
    schema: url('amqp:', 'amqps:'),
  },
  {
    name: 'RABBITMQ_HOST',
    default: null,
    meaning: 'Instead of RABBITMQ_URL, which wins.',
    rule: 'a host',
    schema: text,
  },
  number('RABBITMQ_PORT', '5672', 1, 65535, 'Used with RABBITMQ_HOST.'),
  { name: 'RABBITMQ_USER', default: 'guest', meaning: 'Used with RABBITMQ_HOST.', rule: 'text', schema: text },
  {
    name: 'RABBITMQ_PASSWORD',
    default: 'guest',
    meaning: 'Used with RABBITMQ_HOST.',
    secret: true,
    rule: 'text',
    schema: text,
  },
  { name: 'RABBITMQ_VHOST', default: '/', meaning: 'Used with RABBITMQ_HOST.', rule: 'text', schema: text },
  file(
    'RABBITMQ_CA_FILE',
    'With amqps://: the authorities that may have signed the certificate of RabbitMQ. Not set: those that Node trusts.',
  ),
  file('RABBITMQ_CERT_FILE', 'With amqps://: the client certificate, where RabbitMQ wants one.'),
  file('RABBITMQ_KEY_FILE', 'The private key of RABBITMQ_CERT_FILE, without a passphrase.'),
  name('RABBITMQ_EXCHANGE', 'deepsoc_notifications_exchange', 'Durable topic exchange to which agents publish.'),
  name('RABBITMQ_QUEUE', 'frontend_notifications_queue', 'Durable queue that the gateway consumes.'),
  name('RABBITMQ_BINDING', 'notifications.frontend.#', 'Binding key from the exchange to the queue.'),
  {
    name: 'RABBITMQ_QUEUE_TYPE',
    default: 'quorum',
    meaning: 'Type of the queue.',
    rule: 'quorum or classic',
    schema: z.enum(['quorum', 'classic']),
  },
  number('RABBITMQ_PREFETCH', '1000', 1, 65535, 'Unacknowledged messages per consumer.'),
  number('MAX_MESSAGE_BYTES', '1048576', 1, 134217728, 'A larger body is set aside (AMQP) or refused with 413 (HTTP).'),
  {
    name: 'AUTH',
    default: null,
    meaning:
      'Who may come in. jwt: who has a token; the default once a key is set. none: everybody who reaches the address.',
    rule: 'none or jwt',
    schema: z.enum(['none', 'jwt']),
  },
  {
    name: 'JWT_SECRET',
    default: null,
    meaning: 'Key of HS256 tokens. One of the three key variables at most.',
    secret: true,
    rule: 'text of at least 32 bytes',
    schema: text,
  },
  {
    name: 'JWT_PUBLIC_KEY',
    default: null,
    meaning: 'Key of RS256, ES256 or EdDSA tokens; which of them, its type says. Line breaks may be written as \\n.',
    secret: true,
    rule: 'a public key in PEM',
    schema: text,
  },
  {
    name: 'JWT_JWKS_URL',
    default: null,
    meaning: 'Key set of RS256, ES256 and EdDSA tokens.',
    secret: true,
    rule: 'an https:// URL without user and password; http:// only to this machine',
    schema: z.string().refine(isKeySetUrl),
  },
  { name: 'JWT_ISSUER', default: null, meaning: 'Issuer (iss) that a token must have.', rule: 'text', schema: text },
  {
    name: 'JWT_AUDIENCE',
    default: null,
    meaning: 'Audience (aud) that a token must have.',
    rule: 'text',
    schema: text,
  },
  {
    name: 'JWT_COOKIE',
    default: 'access_token',
    meaning: 'Cookie that may carry the token.',
    rule: 'the name of a cookie',
    schema: z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/),
  },
  {
    name: 'JWT_DEFAULT_EVENTS',
    default: null,
    meaning: 'Events of a token without an events claim. Not set: it reads none.',
    rule: 'up to 400 event ids, comma-separated, or *',
    schema: z.string().refine(isEventList),
  },
  {
    name: 'GATEWAY_TOKEN',
    default: null,
    meaning: 'Token that the commands tail, publish and demo show to a gateway, unless --token-file gives one.',
    secret: true,
    rule: 'a token and nothing else, as it stands behind Authorization: Bearer',
    schema: z.string().refine(isToken),
  },
  {
    name: 'CORS_ORIGINS',
    default: null,
    meaning: 'Other sites whose pages may call this gateway, comma-separated.',
    rule: 'exact origins such as https://app.example, without a path and without *',
    schema: z.string().refine((value) => listOf(value).every(isOrigin)),
  },
  {
    name: 'ALLOWED_HOSTS',
    default: null,
    meaning:
      'Without tokens: host names that are served beside addresses and names without a dot, comma-separated. Not set: on loopback no others, with AUTH=none any.',
    rule: 'host names such as gateway.example, without a port',
    schema: z.string().refine((value) => listOf(value).every(isHostName)),
  },
  {
    name: 'TRUSTED_PROXIES',
    default: null,
    meaning: 'Proxies whose X-Forwarded-For and X-Forwarded-Host are believed, comma-separated. Not set: none.',
    rule: 'IP addresses or networks such as 10.0.0.0/8',
    schema: z.string().refine(isAddressList),
  },
  number('MAX_STREAMS', '20000', 0, 10000000, 'Open streams of all workers together; 0: without limit.'),
  number('MAX_STREAMS_PER_TOKEN', '1000', 0, 10000000, 'Open streams of one token; 0: without limit.'),
  number(
    'MAX_STREAMS_PER_ADDRESS',
    '2000',
    0,
    10000000,
    'Open streams of one address (IPv6: of one /64), loopback not counted; 0: without limit.',
  ),
  number(
    'PUBLISH_RATE',
    '5000',
    0,
    10000000,
    'Messages a second that one token may publish over HTTP; without tokens one address, loopback not counted. 0: without limit.',
  ),
  number('PUBLISH_BURST', '50000', 1, 10000000, 'Messages that may come at once above PUBLISH_RATE.'),
  number('MAX_CONNECTIONS', '25000', 0, 10000000, 'Connections of one worker; 0: without limit.'),
  number(
    'MAX_CONNECTIONS_PER_ADDRESS',
    '2500',
    0,
    10000000,
    'Connections of one address to one worker, loopback and TRUSTED_PROXIES not counted; 0: without limit.',
  ),
  number('HEADERS_SECONDS', '10', 1, 3600, 'The head of a request must have arrived within this time.'),
  number('REQUEST_SECONDS', '60', 1, 3600, 'A request must have arrived whole within this time.'),
  number('HEARTBEAT_SECONDS', '15', 1, 3600, 'Seconds between the heartbeats of a stream.'),
  number(
    'STREAM_MAX_SECONDS',
    '0',
    0,
    31536000,
    'Longest life of a stream, shortened by up to 20 % at random; 0: unlimited.',
  ),
  number('RETENTION_DAYS', null, 1, 36500, 'Messages older than this are removed. Not set: keep everything.'),
  number(
    'RETENTION_MESSAGES_PER_EVENT',
    null,
    1,
    1000000000,
    'Only this many newest messages of each event are kept. Not set: all.',
  ),
  number(
    'METRICS_PORT',
    null,
    1,
    65535,
    'A port of its own for /metrics, at the same address, open to all who reach it.',
  ),
  {
    name: 'LOG_LEVEL',
    default: 'info',
    meaning: 'Least severe lines that are logged.',
    rule: 'fatal, error, warn, info, debug, trace or silent',
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  },
  {
    name: 'CACHE_DIR',
    default: null,
    meaning:
      'Where the single executable keeps its SQLite module: a folder that it alone may write, on a file system without noexec. Not set: a folder of its user in the temporary folder.',
    rule: 'the path of a folder',
    schema: text,
  },
  number('SHUTDOWN_SECONDS', '8', 1, 600, 'The gateway has stopped within this time after SIGTERM.'),
]
