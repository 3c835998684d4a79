/** What the catalogue knows of one error code. */
export interface ErrorDefinition {
  /** HTTP status of an answer with this code. */
  readonly status: number
  /** True when the same call may succeed later without being changed. */
  readonly retryable: boolean
  /** What the reader of the error can do about it. */
  readonly hint: string
}

const define = (status: number, retryable: boolean, hint: string): ErrorDefinition => ({ status, retryable, hint })

/**
 * Every error code of the gateway, whether it leaves by HTTP, by a log line, by `/readyz` or as the
 * reason of a rejected message. docs/OPERATIONS.md lists the same codes; a test compares the two.
 */
export const ERRORS = {
  // Bodies: the reason under which a message is set aside, or refused over HTTP.
  body_too_large: define(413, false, 'Send a smaller body, or raise MAX_MESSAGE_BYTES.'),
  invalid_utf8: define(400, false, 'Encode the body as UTF-8.'),
  invalid_json: define(400, false, 'Send strict JSON: no NaN, no Infinity, no comments, no byte order mark.'),
  not_an_object: define(400, false, 'Send one JSON object with the message fields at its top.'),
  invalid_event_id: define(400, false, 'event_id is a string of 1 to 255 characters without control characters.'),
  invalid_message_id: define(400, false, 'message_id is a string of 1 to 255 characters, or absent.'),
  invalid_message_from: define(400, false, 'message_from (or source) is a string, null or absent.'),
  invalid_message_type: define(400, false, 'message_type (or type) is a string, null or absent.'),
  invalid_round_id: define(400, false, 'round_id is an integer within ±(2^53-1), null or absent.'),
  event_mismatch: define(400, false, 'Leave event_id out of the body, or make it equal to the one in the path.'),
  message_conflict: define(
    409,
    false,
    'This message_id is already stored in this event with another body; the first one stands. Use a new message_id.',
  ),
  storage_refused: define(422, false, 'The store refused this one message; the cause names why. Change the message.'),

  // Requests.
  invalid_query: define(400, false, 'See docs/PROTOCOL.md for the parameters of this call.'),
  invalid_path: define(400, false, 'Percent-encode the path as UTF-8.'),
  empty_batch: define(400, false, 'Send at least one message.'),
  batch_too_large: define(413, false, 'Send at most 1,000 messages in one request.'),
  too_many_events: define(400, false, 'Ask for at most 100 events on one stream, or for event_id=*.'),
  pipelined_stream: define(400, false, 'Open a stream on a connection of its own, or wait for the answers before it.'),
  malformed_request: define(400, false, 'The request is not valid HTTP/1.1. Check the client or the proxy before it.'),
  headers_too_large: define(
    431,
    false,
    'The head of a request is at most 16 KiB: shorten the URL, the headers or the cookies.',
  ),
  request_timeout: define(408, true, 'The request did not arrive in time. Send it again.'),
  body_incomplete: define(400, false, 'The request ended before its body did. Send it again.'),
  origin_forbidden: define(
    403,
    false,
    'Pages of another site may not do this. Call from the same origin, or name the site in CORS_ORIGINS.',
  ),
  host_forbidden: define(
    403,
    false,
    'Without tokens no host name with a domain is served: a foreign page could point its own here. Call by IP address or localhost, name the host in ALLOWED_HOSTS, or set a key.',
  ),
  url_too_long: define(414, false, 'The URL is at most 8,192 bytes: ask for fewer events or filters.'),
  token_missing: define(
    401,
    false,
    'Send a token as Authorization: Bearer …, or in the cookie; on a stream a ticket of POST /api/stream-tickets in ?ticket= serves too.',
  ),
  token_invalid: define(401, false, 'Get a new token from its issuer. The message says which check it failed.'),
  token_expired: define(401, false, 'Renew the token and come back; a stream goes on behind its last id.'),
  token_revoked: define(401, false, 'This subject was revoked. Log in anew; a token that is issued later is accepted.'),
  token_in_query: define(
    400,
    false,
    'A token in a URL ends up in logs and histories: count it as leaked. Send it as Authorization: Bearer …, or trade it for a ticket at POST /api/stream-tickets.',
  ),
  ticket_invalid: define(
    401,
    false,
    'A ticket serves once, within 30 seconds. Get a new one: POST /api/stream-tickets.',
  ),
  event_forbidden: define(403, false, 'The token’s events claim must name each event of the request.'),
  scope_missing: define(403, false, 'The token’s scope claim must hold the scope that the message names.'),
  keys_unavailable: define(
    503,
    true,
    'The key set at JWT_JWKS_URL cannot be read; no token can be checked yet. It is tried again.',
  ),
  invalid_revocation: define(400, false, 'Send {"sub": …} with issued_before and until, if any, as ISO 8601 times.'),
  too_many_streams: define(
    429,
    true,
    'Close streams that are not needed, ask for several events on one, or raise the limit that the message names.',
  ),
  too_many_messages: define(429, true, 'Publish more slowly, or raise PUBLISH_RATE and PUBLISH_BURST.'),
  too_many_tickets: define(429, true, 'Use the tickets that were given out, or wait until they are over.'),
  overloaded: define(503, true, 'The gateway has as much in hand as it takes. Come back after Retry-After.'),
  not_found: define(404, false, 'See docs/PROTOCOL.md for the routes.'),
  method_not_allowed: define(405, false, 'See the Allow header for the methods of this route.'),
  internal: define(500, true, 'A fault of the gateway. Look for the request_id in its log and report it.'),
  shutting_down: define(503, true, 'The gateway is stopping. Send the request again in a moment.'),
  not_ready: define(503, true, 'The faults name what is missing.'),

  // Storage.
  storage_unavailable: define(503, true, 'Look at the cause: free disk space, permissions and the disk itself.'),
  storage_busy: define(503, true, 'Another process holds the write lock of the database. It is tried again.'),
  storage_lost: define(
    503,
    false,
    'The database file was removed or replaced while open. Restore it from a backup or start anew: restart the gateway.',
  ),
  database_newer: define(
    500,
    false,
    'This file was written by a newer gateway. Upgrade the gateway or restore a backup.',
  ),
  database_upgrade_failed: define(
    500,
    false,
    'The file is as it was, and the gateway of before can still use it. Remove the cause, and start again.',
  ),
  database_foreign: define(500, false, 'This file belongs to another application. Point DATABASE_URL elsewhere.'),
  database_corrupt: define(500, false, 'Restore the database from a backup. The file was left as it is.'),
  database_unopenable: define(500, false, 'Check the path in DATABASE_URL, its folder and permissions.'),
  database_leftovers: define(
    500,
    false,
    'Remove the files -wal and -shm beside the restored backup, or move them to the database that they belong to, and start again.',
  ),
  database_is_backup: define(500, false, 'Start the gateway on it once, or on a copy of it if it is to stay a backup.'),
  database_unreachable: define(
    503,
    true,
    'Check DATABASE_URL, that PostgreSQL runs and that its port is open. It is tried again.',
  ),
  database_login_refused: define(
    503,
    true,
    'Check user and password in DATABASE_URL, and pg_hba.conf of PostgreSQL. It is tried again.',
  ),
  database_missing: define(
    503,
    true,
    'Create the database that DATABASE_URL names: createdb --encoding=UTF8 --template=template0 NAME. It is tried again.',
  ),
  database_access_refused: define(
    503,
    true,
    'Make the user of DATABASE_URL the owner of the schema and of its tables. It is tried again.',
  ),
  database_read_only: define(
    503,
    true,
    'The server is a standby or set to read only. Promote it, or name the primary in DATABASE_URL; several hosts, comma-separated, are tried in turn. It is tried again.',
  ),
  database_full: define(503, true, 'Free disk space on the machine of PostgreSQL. It is tried again.'),
  database_connections: define(
    503,
    true,
    'Raise max_connections of PostgreSQL, or lower DATABASE_CONNECTIONS. It is tried again.',
  ),
  database_tls_failed: define(
    503,
    true,
    'Check sslmode, sslrootcert, sslcert and sslkey in DATABASE_URL against what PostgreSQL offers. It is tried again.',
  ),
  database_unsuitable: define(
    500,
    false,
    'The log needs PostgreSQL 12 or newer, a database with the encoding UTF8, and synchronous_commit on.',
  ),

  // Broker.
  broker_unreachable: define(
    503,
    true,
    'Check RABBITMQ_URL, that RabbitMQ runs and that the port is open. It is tried again.',
  ),
  broker_login_refused: define(503, true, 'Check the user name and password of RabbitMQ. It is tried again.'),
  broker_vhost_missing: define(
    503,
    true,
    'Create the vhost and grant the user rights to it: rabbitmqctl add_vhost, set_permissions. It is tried again.',
  ),
  broker_declaration_conflict: define(
    503,
    true,
    'A queue or exchange of this name exists with other arguments. Delete it once it is empty, or choose another name. It is tried again.',
  ),
  broker_access_refused: define(
    503,
    true,
    'Grant the user configure, write and read on the exchanges and queues. It is tried again.',
  ),
  broker_certificate_untrusted: define(
    503,
    true,
    'Set RABBITMQ_CA_FILE to the certificate of the authority that signed the one of RabbitMQ, and see that this is in date. It is tried again.',
  ),
  broker_certificate_name: define(
    503,
    true,
    'The certificate of RabbitMQ is for another name: use one of its names in RABBITMQ_URL, or have it issued for this one. It is tried again.',
  ),
  broker_client_certificate: define(
    503,
    true,
    'RabbitMQ wants a client certificate of an authority that it trusts: set RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE. It is tried again.',
  ),
  broker_tls_failed: define(
    503,
    true,
    'Check that the port of RABBITMQ_URL is the TLS one (5671 as a rule), and the files of RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE. It is tried again.',
  ),
  broker_error: define(503, true, 'RabbitMQ reported an error; the cause is its own text. It is tried again.'),
  broker_blocked: define(
    503,
    true,
    'RabbitMQ has a memory or disk alarm and takes no messages. Free memory or disk there.',
  ),
  publish_unroutable: define(
    503,
    true,
    'No queue is bound for this routing key. Check RABBITMQ_BINDING and the queue.',
  ),
  publish_nacked: define(503, true, 'RabbitMQ refused the message. Send it again with the same message_id.'),
  publish_unconfirmed: define(
    503,
    true,
    'RabbitMQ did not confirm in time; the message may be stored. Send it again with the same message_id.',
  ),

  // Commands that talk to a gateway, or to its database.
  backup_exists: define(500, false, 'Name a file that is not there yet: a backup overwrites nothing.'),
  backup_unwritable: define(500, true, 'Check the folder of the backup, its permissions and free disk space.'),
  backup_by_other_means: define(
    500,
    false,
    'Use the tools of PostgreSQL, which read the same DATABASE_URL: pg_dump --format=custom --file=FILE --dbname=URL. See docs/OPERATIONS.md.',
  ),
  no_gateway: define(503, true, 'Start the gateway, or give its address with --url.'),
  not_a_gateway: define(502, false, 'Something answers there, but not as this gateway does. Check --url.'),

  // Start.
  config_invalid: define(500, false, 'Each fault names the variable and its rule. See .env.sample.'),
  certificate_unusable: define(
    500,
    false,
    'TLS_CERT_FILE holds the certificate and its chain, TLS_KEY_FILE its private key without a passphrase, both in PEM. A running gateway goes on with the old pair until both are right.',
  ),
  address_unavailable: define(500, false, 'The address is in use or not of this machine. Choose another HOST or PORT.'),
  native_module_unusable: define(
    500,
    false,
    'The folder must be writable and on a file system that is mounted without noexec. Set CACHE_DIR to such a folder.',
  ),
  amqp_client_incompatible: define(
    500,
    false,
    'Install the version of rabbitmq-client that the message names: npm ci in a clone; elsewhere remove the override in package.json.',
  ),
  node_too_old: define(500, false, 'Run npm ci, which brings Node 24 along on Linux, or install Node 22.18 or newer.'),
} as const satisfies Record<string, ErrorDefinition>

export type ErrorCode = keyof typeof ERRORS

export interface GatewayErrorOptions {
  /** What went wrong underneath; kept for the log, never sent to a client. */
  cause?: unknown
  /** Fields that help the receiver, e.g. the index of a bad message. They are sent to the client. */
  details?: Record<string, unknown>
  /** When the same call may succeed, in milliseconds from now. */
  retryAfterMs?: number
  /** Instead of the catalogue's hint, where a better one is known. */
  hint?: string
}

/** An error with a code of the catalogue, a message for people, a cause and a hint. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  readonly details: Record<string, unknown> | undefined
  readonly retryAfterMs: number

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'GatewayError'
    this.code = code
    this.hint = options.hint ?? ERRORS[code].hint
    this.details = options.details
    this.retryAfterMs = options.retryAfterMs ?? 1_000
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable
  }
}
