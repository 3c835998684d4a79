// A separate file without Node's types: it is part of the type declarations of the publisher library, whose users may not have them.

/** PEM files, read for each connection, so that they can be renewed while the process runs. null if not set. */
export interface BrokerTls {
  /** Trusted CA certificates; null for those that Node trusts. */
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
}

/** Address of one node of RabbitMQ. */
export interface BrokerHost {
  readonly hostname: string
  readonly port: number
}

/** Address of RabbitMQ, and the credentials. */
export interface BrokerAddress {
  /** Nodes of one cluster, tried in turn; at least one. */
  readonly hosts: readonly BrokerHost[]
  readonly username: string
  readonly password: string
  readonly vhost: string
  /** null for plain AMQP. */
  readonly tls: BrokerTls | null
}

/** Splits a URL with several hosts, `amqp://user:password@a:5672,b/vhost`, into one URL for each. */
export const splitBrokerUrl = (text: string): string[] => {
  const [, start = '', hosts = text, end = ''] = /^([a-z]+:\/\/(?:[^/?#]*@)?)([^/?#]*)(.*)$/is.exec(text) ?? []
  return hosts.split(',').map((host) => start + host + end)
}

/** Returns whether a text is an IPv6 address, possibly with a zone id, which a URL cannot have. */
const isIpv6 = (text: string): boolean =>
  /^[\da-f:.]+(%[\w.-]+)?$/i.test(text) && URL.canParse(`http://[${text.replace(/%.*/, '')}]`)

/** Parses RABBITMQ_HOST: names or addresses, separated by commas. @returns null if one is empty or has a port */
export const parseBrokerHosts = (text: string): readonly string[] | null => {
  const names = text.split(',').map((name) => name.trim())
  return names.every((name) => name !== '' && (!name.includes(':') || isIpv6(name))) ? names : null
}

/** Formats the hosts as in a URL. */
export const formatHosts = ({ hosts }: BrokerAddress): string =>
  hosts.map(({ hostname, port }) => `${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`).join(',')

/**
 * Parses an `amqp://` or `amqps://` URL, which can have several hosts.
 *
 * @param tls the files to use if it is `amqps://`
 * @throws URIError if user, password or vhost is not percent-encoded
 */
export const parseBrokerUrl = (text: string, tls: BrokerTls): BrokerAddress => {
  const urls = splitBrokerUrl(text).map((one) => new URL(one))
  const url = urls[0]!
  const encrypted = url.protocol === 'amqps:'
  const vhost = decodeURIComponent(url.pathname.slice(1))
  return {
    hosts: urls.map(({ hostname, port }) => ({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (encrypted ? 5671 : 5672) : Number(port),
    })),
    // Default of RabbitMQ; rabbitmq-client would send an empty name.
    username: url.username === '' ? 'guest' : decodeURIComponent(url.username),
    password: url.username === '' ? 'guest' : decodeURIComponent(url.password),
    vhost: vhost === '' ? '/' : vhost,
    tls: encrypted ? tls : null,
  }
}
