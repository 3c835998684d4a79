// A separate file without Node's types: it is part of the type declarations of the publisher library, whose users may not have them.

/** PEM files, read for each connection, so that they can be renewed while the process runs. null if not set. */
export interface BrokerTls {
  /** Trusted CA certificates; null for those that Node trusts. */
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
}

/** Address of RabbitMQ, and the credentials. */
export interface BrokerAddress {
  readonly hostname: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  /** null for plain AMQP. */
  readonly tls: BrokerTls | null
}

/**
 * Parses an `amqp://` or `amqps://` URL.
 *
 * @param tls the files to use if it is `amqps://`
 * @throws URIError if user, password or vhost is not percent-encoded
 */
export const parseBrokerUrl = (text: string, tls: BrokerTls): BrokerAddress => {
  const url = new URL(text)
  const encrypted = url.protocol === 'amqps:'
  const vhost = decodeURIComponent(url.pathname.slice(1))
  return {
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (encrypted ? 5671 : 5672) : Number(url.port),
    // Default of RabbitMQ; rabbitmq-client would send an empty name.
    username: url.username === '' ? 'guest' : decodeURIComponent(url.username),
    password: url.username === '' ? 'guest' : decodeURIComponent(url.password),
    vhost: vhost === '' ? '/' : vhost,
    tls: encrypted ? tls : null,
  }
}
