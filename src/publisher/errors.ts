/** Description of one error code. */
export interface PublishErrorEntry {
  /** True if the same call, unchanged, may succeed later. */
  readonly retryable: boolean
  /** Instructions for the agent's author or operator. */
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
    'Send more slowly, wait for earlier sends, raise maxQueued, or use an outbox if the broker can be unavailable for long.',
  ),
  publisher_closed: entry(false, 'Send before close(), and raise timeoutMs of close().'),

  // Connection to the broker.
  amqp_client_incompatible: entry(
    false,
    'Install the version of rabbitmq-client that the message names, e.g. by removing an override from package.json.',
  ),
  broker_unreachable: entry(true, 'Check that RabbitMQ is running and that host and port are correct.'),
  broker_auth_failed: entry(true, 'Check the user name and password in RABBITMQ_URL.'),
  broker_vhost_missing: entry(true, 'Create the vhost on RabbitMQ, or correct the configured one.'),
  broker_access_refused: entry(true, 'Grant the user access to the vhost and the write permission on the exchange.'),
  broker_certificate_untrusted: entry(
    true,
    'Set caFile (RABBITMQ_CA_FILE) to the CA certificate that signed the certificate of RabbitMQ, and check that neither has expired.',
  ),
  broker_certificate_name: entry(
    true,
    'The certificate of RabbitMQ is for another host name. Use one of its names in the URL, or issue it for this one.',
  ),
  broker_client_certificate: entry(
    true,
    'RabbitMQ requires a client certificate from a CA that it trusts. Set certFile and keyFile (RABBITMQ_CERT_FILE, RABBITMQ_KEY_FILE).',
  ),
  broker_tls_failed: entry(
    true,
    'Check that the URL names the TLS port (usually 5671), and check the files of caFile, certFile and keyFile.',
  ),
  broker_blocked: entry(
    true,
    'RabbitMQ has a memory or disk alarm. Free memory or disk space on its host; publishing then resumes automatically.',
  ),
  broker_error: entry(true, 'See the cause and the log of RabbitMQ.'),

  // Outcome of a message at the broker.
  exchange_missing: entry(true, 'Start the gateway, which declares the exchange, or correct RABBITMQ_EXCHANGE.'),
  publish_unroutable: entry(
    true,
    'No queue is bound for this routing key. Start the gateway once, which declares queue and binding, or correct RABBITMQ_BINDING.',
  ),
  publish_nacked: entry(
    true,
    'RabbitMQ rejected the message, usually because a queue is at its length limit. Check the queue and its consumer.',
  ),
  publish_timed_out: entry(
    true,
    'The message was not sent. Send it again, more slowly or with a longer sendTimeoutMs.',
  ),
  publish_confirm_timeout: entry(
    true,
    'The message may or may not be stored. Send it again with the same message_id and body; it is stored once.',
  ),

  // The outbox.
  outbox_full: entry(true, 'The broker was unavailable for too long. Restore it, or raise maxQueued.'),
  outbox_locked: entry(true, 'Another publisher has this outbox open. Use a separate file for each agent.'),
  outbox_not_ours: entry(false, 'Choose another path: this file is not an outbox and was not changed.'),
  outbox_newer: entry(false, 'Use the version of this library that wrote the file, or a newer one.'),
  outbox_corrupt: entry(false, 'Move the file elsewhere, keep it, and try to recover it with `sqlite3 FILE .recover`.'),
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
  /** Instructions for fixing it. */
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
export const withMessage = (error: PublishError, message_id: string, deliveryStatus: DeliveryStatus): PublishError =>
  new PublishError(error.code, error.message, { deliveryStatus, message_id, cause: error.cause ?? error })
