import { define, type ErrorDefinition, endsCommand, keepsRetrying } from './error-catalogue/definition.ts'
import { UPSTREAM_ERRORS } from './error-catalogue/upstream.ts'

/**
 * Every error code of the gateway: in HTTP responses, log lines, `/readyz`, and as the reason of a quarantined message.
 * docs/OPERATIONS.md lists the same codes; a test compares the two.
 */
export const ERRORS = {
  // Messages: the reason of a quarantined message, or the code of an HTTP response.
  body_too_large: define(413, false, 'Send a smaller body, or raise MAX_MESSAGE_BYTES.'),
  unsupported_content_encoding: define(415, false, 'Send the body as it is, or compressed with gzip or deflate.'),
  invalid_content_encoding: define(400, false, 'Send the body in the encoding that it names.'),
  invalid_utf8: define(400, false, 'Encode the body as UTF-8.'),
  invalid_json: define(400, false, 'Send strict JSON: no NaN, no Infinity, no comments, no byte order mark.'),
  not_an_object: define(400, false, 'Send one JSON object with the message fields at its top.'),
  invalid_event_id: define(400, false, 'event_id has 1 to 255 characters, no control characters, and is not . or ..'),
  invalid_message_id: define(400, false, 'message_id is a string of 1 to 255 characters, or absent.'),
  invalid_message_from: define(400, false, 'message_from (or source) is a string, null or absent.'),
  invalid_message_type: define(400, false, 'message_type (or type) is a string, null or absent.'),
  invalid_round_id: define(400, false, 'round_id is an integer within ±(2^53-1), or up to 15 digits as text.'),
  event_mismatch: define(400, false, 'Leave event_id out of the body, or make it equal to the one in the path.'),
  message_conflict: define(
    409,
    false,
    'This message_id is already stored in this event with another body, which is kept. Use a new message_id.',
  ),
  message_unstorable: define(
    422,
    false,
    'The database cannot hold this message; the cause says why. Change the message.',
  ),

  // Requests.
  invalid_query: define(400, false, 'See docs/PROTOCOL.md for the parameters of this call.'),
  invalid_path: define(400, false, 'Percent-encode the path as UTF-8.'),
  search_disabled: define(404, false, 'Remove SEARCH=off from the configuration of the gateway.'),
  empty_batch: define(400, false, 'Send at least one message.'),
  batch_too_large: define(413, false, 'Send at most 1,000 messages in one request.'),
  too_many_events: define(400, false, 'Subscribe to at most 100 events on one stream, or to event_id=*.'),
  pipelining_unsupported: define(
    400,
    false,
    'Open a stream on a connection of its own, or wait for the previous responses.',
  ),
  malformed_request: define(
    400,
    false,
    'The request is not valid HTTP/1.1. Check the client, or the proxy in front of the gateway.',
  ),
  headers_too_large: define(
    431,
    false,
    'The request line and the headers may have 16 KiB together: shorten the URL, the headers or the cookies.',
  ),
  request_timeout: define(408, true, 'The request did not arrive in time. Send it again.'),
  request_aborted: define(400, false, 'The connection ended before the body was complete. Send the request again.'),
  origin_forbidden: define(
    403,
    false,
    'Pages of other origins are not allowed to do this. Call from the same origin, or add the origin to CORS_ORIGINS.',
  ),
  host_forbidden: define(
    403,
    false,
    'Without authentication the gateway accepts only IP addresses and localhost, because of DNS rebinding. Use one of these, add the host to ALLOWED_HOSTS, or configure a token key.',
  ),
  url_too_long: define(414, false, 'The URL is at most 8,192 bytes: request fewer events or filters.'),
  token_missing: define(
    401,
    false,
    'Send a token as Authorization: Bearer …, or in the cookie. A stream also accepts a ticket of POST /api/stream-tickets in ?ticket=.',
  ),
  token_invalid: define(401, false, 'Get a new token from its issuer. The message names the check that failed.'),
  token_expired: define(401, false, 'Renew the token and reconnect. A stream continues after its Last-Event-ID.'),
  token_revoked: define(
    401,
    false,
    'The tokens of this subject were revoked. Log in again; a token that is issued later is accepted.',
  ),
  token_in_query: define(
    400,
    false,
    'URLs are stored in logs and histories, so treat this token as leaked. Send tokens as Authorization: Bearer …, or exchange one for a ticket at POST /api/stream-tickets.',
  ),
  ticket_invalid: define(
    401,
    false,
    'A ticket is valid once, for 30 seconds. Get a new one: POST /api/stream-tickets.',
  ),
  event_forbidden: define(403, false, 'The token’s events claim must list each event, or be the text * for all.'),
  scope_missing: define(403, false, 'The token’s scope claim must contain the scope that the message names.'),
  chat_forbidden: define(403, false, 'Send message_type chat or user_message, with a token whose sub names a person.'),
  jwks_unavailable: keepsRetrying('Check JWT_JWKS_URL: the key set cannot be read, so no token can be verified.'),
  invalid_revocation: define(400, false, 'Send {"sub": …}; issued_before and until are optional ISO 8601 times.'),
  too_many_streams: define(
    429,
    true,
    'Close unused streams, subscribe to several events on one stream, or raise the limit that the message names.',
  ),
  rate_limited: define(429, true, 'Publish more slowly, or raise PUBLISH_RATE and PUBLISH_BURST.'),
  too_many_tickets: define(429, true, 'Use the tickets that were issued, or wait until they expire.'),
  overloaded: define(
    503,
    true,
    'The gateway is at its memory limit for requests. Retry after the time in Retry-After.',
  ),
  too_many_connections: define(503, true, 'Raise MAX_CONNECTIONS, or find the clients with idle connections.'),
  too_many_open_files: define(503, true, 'Raise LimitNOFILE or ulimit -n, or find the clients with idle connections.'),
  not_found: define(404, false, 'See docs/PROTOCOL.md for the routes.'),
  method_not_allowed: define(405, false, 'See the Allow header for the methods of this route.'),
  internal: define(500, true, 'This is a bug in the gateway. Find the request_id in its log and report it.'),
  shutting_down: define(503, true, 'The gateway is stopping. Send the request again shortly.'),
  worker_unresponsive: define(503, true, 'The worker is killed and replaced after WORKER_TIMEOUT_SECONDS.'),
  not_ready: define(503, true, 'The faults in the response name the failed components.'),

  // Database.
  storage_unavailable: define(503, true, 'Check the cause: disk space, permissions, and the disk itself.'),
  storage_busy: keepsRetrying('Another process holds the write lock of the database.'),
  database_replaced: define(
    503,
    false,
    'A file of the database was removed, replaced or truncated while the gateway had it open. Stop the job that does this, follow the cause, then restart the gateway.',
  ),
  database_newer: endsCommand('A newer gateway wrote this database. Upgrade this gateway, or restore a backup.'),
  database_upgrade_failed: endsCommand(
    'The database is unchanged, and the previous version of the gateway can still use it. Fix the cause, then start again.',
  ),
  database_not_ours: endsCommand('This database belongs to another application. Set DATABASE_URL to another one.'),
  database_corrupt: define(503, false, 'Stop the gateway, check the disk, then restore a backup: docs/OPERATIONS.md.'),
  database_open_failed: endsCommand('Check the path in DATABASE_URL, its directory and the permissions.'),
  database_stale_wal: endsCommand(
    'Remove the -wal and -shm files next to the restored backup, or move them to the database that they belong to. Then start again.',
  ),
  database_is_backup: endsCommand('Start the gateway on it once, or on a copy to keep it as a backup.'),
  database_moved: endsCommand('Set DATABASE_URL to the database that it was migrated to.'),
  database_incomplete: endsCommand('Run migrate again, which continues, or delete the target.'),
  database_target_used: endsCommand('Name a target that does not exist, or delete what is there.'),
  database_copy_differs: endsCommand('The source is unchanged. Delete the target, and start again.'),
  database_unreachable: keepsRetrying('Check DATABASE_URL, that PostgreSQL is running and that its port is open.'),
  database_auth_failed: keepsRetrying('Check the user and password in DATABASE_URL, and pg_hba.conf of PostgreSQL.'),
  database_not_found: keepsRetrying(
    'Create the database that DATABASE_URL names: createdb --encoding=UTF8 --template=template0 NAME.',
  ),
  database_access_refused: keepsRetrying('Make the user of DATABASE_URL the owner of the schema and of its tables.'),
  database_read_only: keepsRetrying(
    'The server is a standby or read-only. Promote it, or name the primary in DATABASE_URL. Several hosts, separated by commas, are tried in turn.',
  ),
  database_old_timeline: keepsRetrying(
    'The server was the primary before a failover and runs again. Stop it, and set it up as a standby of the new primary (pg_rewind).',
  ),
  database_standby_unavailable: keepsRetrying(
    'Commits wait for the synchronous standby. Start it, check its replication, or change synchronous_standby_names.',
  ),
  database_full: keepsRetrying('Free disk space on the PostgreSQL server.'),
  database_too_many_connections: keepsRetrying('Raise max_connections of PostgreSQL, or lower DATABASE_POOL_SIZE.'),
  database_tls_failed: keepsRetrying(
    'Check sslmode, sslrootcert, sslcert and sslkey in DATABASE_URL against what PostgreSQL offers.',
  ),
  database_unsuitable: endsCommand(
    'Use PostgreSQL 12 or newer, a database with the encoding UTF8, and synchronous_commit on.',
  ),

  // Broker.
  broker_unreachable: keepsRetrying('Check RABBITMQ_URL, that RabbitMQ is running and that the port is open.'),
  broker_auth_failed: keepsRetrying('Check the user name and password in RABBITMQ_URL.'),
  broker_vhost_missing: keepsRetrying(
    'Create the vhost and grant the user permissions on it: rabbitmqctl add_vhost, set_permissions.',
  ),
  broker_precondition_failed: keepsRetrying(
    'A queue or exchange of this name exists with other arguments. Delete it once it is empty, or choose another name.',
  ),
  broker_ack_timeout: keepsRetrying(
    'RabbitMQ closed the channel because a delivery was not acknowledged within its consumer_timeout. Its messages are delivered again. Check the store, and raise consumer_timeout if it is shorter than a commit takes.',
  ),
  broker_access_refused: keepsRetrying(
    'Grant the user the configure, write and read permissions on the exchanges and queues.',
  ),
  broker_certificate_untrusted: keepsRetrying(
    'Set RABBITMQ_CA_FILE to the CA certificate that signed the certificate of RabbitMQ, and check that neither has expired.',
  ),
  broker_certificate_name: keepsRetrying(
    'The certificate of RabbitMQ is for another host name. Use one of its names in RABBITMQ_URL, or issue it for this one.',
  ),
  broker_client_certificate: keepsRetrying(
    'RabbitMQ requires a client certificate from a CA that it trusts. Set RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE.',
  ),
  broker_tls_failed: keepsRetrying(
    'Check that RABBITMQ_URL names the TLS port (usually 5671), and check the files of RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE.',
  ),
  broker_error: keepsRetrying('RabbitMQ reported an error; the cause has its text.'),
  broker_blocked: define(
    503,
    true,
    'RabbitMQ has a memory or disk alarm and accepts no messages. Free memory or disk space on its server.',
  ),
  publish_unroutable: define(
    503,
    true,
    'No queue is bound for this routing key. Check RABBITMQ_BINDING and the queue.',
  ),
  publish_nacked: define(503, true, 'RabbitMQ refused the message. Send it again with the same message_id.'),
  publish_confirm_timeout: define(
    503,
    true,
    'RabbitMQ did not confirm in time, so the message may or may not be stored. Send it again with the same message_id.',
  ),

  // Edges.
  ...UPSTREAM_ERRORS,

  // Commands.
  backup_exists: define(500, false, 'Name a file that does not exist: a backup never overwrites one.'),
  backup_write_failed: define(500, true, 'Check the directory of the backup, its permissions and free disk space.'),
  backup_unsupported: define(
    500,
    false,
    'Use the tools of PostgreSQL, which accept the same DATABASE_URL: pg_dump --format=custom --file=FILE --dbname=URL. See docs/OPERATIONS.md.',
  ),
  gateway_unreachable: define(503, true, 'Start the gateway, or name its address with --url.'),
  unexpected_response: define(502, false, 'A server responded, but it is not this gateway. Check --url.'),

  // Startup.
  config_invalid: define(500, false, 'Each line names a variable and its constraint. See .env.sample.'),
  certificate_invalid: define(
    500,
    false,
    'TLS_CERT_FILE must contain the certificate and its chain, TLS_KEY_FILE its private key without a passphrase, both as PEM. A running gateway keeps using the previous pair until both are valid.',
  ),
  listen_failed: define(
    500,
    false,
    'The address is in use, or does not belong to this machine. Choose another HOST or PORT.',
  ),
  native_module_load_failed: define(
    500,
    false,
    'Set NATIVE_MODULE_DIR to a directory of this user alone (mode 0700, created if missing), on a file system without noexec.',
  ),
  amqp_client_incompatible: define(
    500,
    false,
    'Install the version of rabbitmq-client that the message names: run npm ci in a clone, or remove the override in your package.json.',
  ),
  node_too_old: define(500, false, 'Run npm ci, which installs Node 24 on Linux, or install Node 22.18 or newer.'),
} as const satisfies Record<string, ErrorDefinition>

export type ErrorCode = keyof typeof ERRORS

export interface GatewayErrorOptions {
  /** The underlying error; logged, never sent to a client. */
  cause?: unknown
  /** Further fields of the response, such as the index of an invalid message. */
  details?: Record<string, unknown>
  /** Milliseconds after which the same request can succeed. */
  retryAfterMs?: number
  /** Replaces the hint of the catalogue. */
  hint?: string
}

/** An error with a code of the catalogue, a message, a cause and a hint. */
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
