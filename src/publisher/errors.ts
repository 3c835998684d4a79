/** Description of one error code. */
export interface PublishErrorEntry {
  /** True if the same call, unchanged, may succeed later. */
  readonly retryable: boolean
  /** What the agent or its operator can do about it. */
  readonly hint: string
}

const entry = (retryable: boolean, hint: string): PublishErrorEntry => ({ retryable, hint })

/** Every error code of the publisher. docs/PUBLISHING.md lists the same codes; a test compares the two. */
export const PUBLISH_ERRORS = {
  // Errors in the input of the caller.
  config_invalid: entry(false, 'Correct the options or the environment variables that the message names.'),
  invalid_message: entry(false, 'Correct the field that the message names.'),
  message_too_large: entry(
    false,
    'Send a smaller body, or raise MAX_MESSAGE_BYTES of the gateway and maxMessageBytes here (and max_message_size of RabbitMQ).',
  ),
  queue_full: entry(
    true,
    'Send slower, wait for earlier sends, raise maxQueued, or use an outbox if the broker is away for long.',
  ),
  publisher_closed: entry(false, 'Send before close(), and give close() more time.'),

  // Connection to the broker.
  amqp_client_incompatible: entry(
    false,
    'Install the version of rabbitmq-client that the message names, e.g. by removing an override from package.json.',
  ),
  broker_unreachable: entry(true, 'Check that RabbitMQ runs and that address and port are right.'),
  broker_auth_failed: entry(true, 'Check user and password in RABBITMQ_URL.'),
  broker_vhost_missing: entry(true, 'Create the virtual host on RabbitMQ, or correct the one that is configured.'),
  broker_access_refused: entry(
    true,
    'Give the user access to the virtual host, and the right to write to the exchange.',
  ),
  broker_certificate_untrusted: entry(
    true,
    'Give caFile (RABBITMQ_CA_FILE) the certificate of the authority that signed the one of RabbitMQ, and see that this is in date.',
  ),
  broker_certificate_name: entry(
    true,
    'The certificate of RabbitMQ is for another name: use one of its names in the URL, or have it issued for this one.',
  ),
  broker_client_certificate: entry(
    true,
    'RabbitMQ wants a client certificate of an authority that it trusts: give certFile and keyFile (RABBITMQ_CERT_FILE, RABBITMQ_KEY_FILE).',
  ),
  broker_tls_failed: entry(
    true,
    'Check that the port is the TLS one (5671 as a rule), and the files of caFile, certFile and keyFile.',
  ),
  broker_blocked: entry(
    true,
    'RabbitMQ has a memory or disk alarm: free memory or disk on its host. It takes messages again by itself after that.',
  ),
  broker_error: entry(true, 'See the cause, and the log of RabbitMQ.'),

  // Outcome of a message at the broker.
  exchange_missing: entry(true, 'Start the gateway, which declares the exchange, or correct RABBITMQ_EXCHANGE.'),
  publish_unroutable: entry(
    true,
    'No queue is bound for this routing key: start the gateway once, which declares queue and binding, or correct RABBITMQ_BINDING.',
  ),
  publish_nacked: entry(
    true,
    'RabbitMQ could not take the message, most often because a queue is at its length limit: check the queue and its consumer.',
  ),
  publish_timed_out: entry(true, 'The message was not sent. Send it again, slower, or with a longer sendTimeoutMs.'),
  publish_confirm_timeout: entry(
    true,
    'The message may be stored or not. Send it again with the same message_id and body: it is stored once.',
  ),

  // The outbox.
  outbox_full: entry(true, 'The broker has been away too long for maxQueued: bring it back, or raise maxQueued.'),
  outbox_locked: entry(true, 'Another agent has this outbox open. Give each agent a file of its own.'),
  outbox_not_ours: entry(false, 'Choose another path: this file is no outbox, and it was left untouched.'),
  outbox_newer: entry(false, 'Use the version of this library that made the file, or a newer one.'),
  outbox_corrupt: entry(false, 'Move the file away, keep it, and try to recover it with `sqlite3 FILE .recover`.'),
  outbox_unwritable: entry(
    true,
    'Check disk space, permissions and the disk itself. Send it again with the same message_id and body.',
  ),
  outbox_replaced: entry(
    false,
    'A file of the outbox was removed, replaced or truncated under the running agent. Stop the job that does this, then restart the agent.',
  ),
} as const satisfies Record<string, PublishErrorEntry>

export type PublishErrorCode = keyof typeof PUBLISH_ERRORS

/**
 * State of a message whose `send` failed. `not_sent`: it never left this process. `refused`: the broker does not have
 * it. `unknown`: the broker may have it; sending it again with the same message_id and body is safe, because it is
 * stored once.
 */
export type DeliveryStatus = 'not_sent' | 'refused' | 'unknown'

export interface PublishErrorOptions {
  readonly deliveryStatus?: DeliveryStatus
  readonly cause?: unknown
  readonly message_id?: string | undefined
}

/** Error thrown if a message was not published or the publisher cannot work. */
export class PublishError extends Error {
  override readonly name = 'PublishError'
  readonly code: PublishErrorCode
  /** What can be done about it. */
  readonly hint: string
  /** True if the same call, unchanged, may succeed later. */
  readonly retryable: boolean
  readonly deliveryStatus: DeliveryStatus
  readonly message_id: string | undefined

  constructor(
    code: PublishErrorCode,
    message: string,
    { deliveryStatus = 'not_sent', cause, message_id }: PublishErrorOptions = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.hint = PUBLISH_ERRORS[code].hint
    this.retryable = PUBLISH_ERRORS[code].retryable
    this.deliveryStatus = deliveryStatus
    this.message_id = message_id
  }
}

/** Returns the same error for one message. */
export const withMessage = (fault: PublishError, message_id: string, deliveryStatus: DeliveryStatus): PublishError =>
  new PublishError(fault.code, fault.message, { deliveryStatus, message_id, cause: fault.cause ?? fault })
