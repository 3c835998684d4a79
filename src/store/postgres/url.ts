import { userInfo } from 'node:os'

/** Values of libpq's sslmode. */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

const SSL_MODES: readonly string[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full']

/** TLS settings of the connection to PostgreSQL. The files are read for each connection. */
export interface PostgresTls {
  readonly mode: SslMode
  /** CA certificates that the server's certificate must be signed by, or null for those that Node trusts. */
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
}

/** Address of one server. A host that begins with a slash is the directory of a Unix socket. */
export interface PostgresHost {
  readonly host: string
  readonly port: number
}

/** Address of the PostgreSQL database, and the settings for connecting to it. */
export interface PostgresAddress {
  /** Tried in this order until one accepts writes. */
  readonly hosts: readonly PostgresHost[]
  readonly user: string
  readonly password: string
  readonly database: string
  /** Schema that contains the tables. */
  readonly schema: string
  readonly applicationName: string
  /** Connection timeout in milliseconds. */
  readonly connectTimeoutMs: number
  readonly tls: PostgresTls
}

/** An invalid DATABASE_URL. The message completes "DATABASE_URL …" and never contains a part of the URL that could be secret. */
export class BadPostgresUrl extends Error {}

const PORT = 5432
const SOCKETS = '/var/run/postgresql'
export const SCHEMA = 'deepsoc_gateway'
const CONNECT_SECONDS = 5

/** libpq options that are accepted but ignored, since they have no effect here that anyone relies on. */
const IGNORED = ['fallback_application_name', 'gssencmode', 'keepalives', 'keepalives_idle', 'keepalives_interval']
const SUPPORTED = [
  ...['host', 'port', 'user', 'password', 'dbname', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'connect_timeout'],
  ...['application_name', 'target_session_attrs', 'schema'],
]
/** libpq options that are rejected, since users who set them rely on their effect. */
const REFUSED = [
  ...['channel_binding', 'require_auth', 'options', 'passfile', 'service', 'servicefile', 'sslcrl', 'sslcrldir'],
  ...['sslpassword', 'sslnegotiation', 'ssl_min_protocol_version', 'ssl_max_protocol_version', 'gsslib', 'krbsrvname'],
  ...['requirepeer', 'replication', 'client_encoding', 'hostaddr', 'load_balance_hosts', 'tcp_user_timeout', 'ssl'],
]

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new BadPostgresUrl('has a % that is not followed by two hexadecimal digits: write %25 for a percent sign.')
  }
}

const parsePort = (text: string): number => {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port
  throw new BadPostgresUrl('has a port that is not a number from 1 to 65535.')
}

/** Parses `host`, `host:port`, `[::1]:port` or an empty string. */
const parseHost = (text: string): { host: string; port: number | null } => {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(text) ?? []
  if (bracketed === undefined && plain === undefined) {
    throw new BadPostgresUrl(
      'has an invalid host. Write an IPv6 address in brackets, and @ : / in a password as %40 %3A %2F.',
    )
  }
  return { host: decoded(bracketed ?? plain ?? ''), port: port === undefined || port === '' ? null : parsePort(port) }
}

const parseOptions = (query: string): Map<string, string> => {
  const options = new Map<string, string>()
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const at = pair.indexOf('=')
    const name = decoded(at === -1 ? pair : pair.slice(0, at))
    if (REFUSED.includes(name)) throw new BadPostgresUrl(`has the option ${name}, which is not supported. Remove it.`)
    if (IGNORED.includes(name)) continue
    // The option is not named: it may be the end of a password that was not percent-encoded.
    if (!SUPPORTED.includes(name)) {
      throw new BadPostgresUrl(`has an unknown option. Supported options: ${SUPPORTED.join(', ')}.`)
    }
    options.set(name, at === -1 ? '' : decoded(pair.slice(at + 1)))
  }
  return options
}

const parseHosts = (authority: string, options: Map<string, string>): PostgresHost[] => {
  const listed = authority.split(',').map(parseHost)
  const names = options.get('host')?.split(',')
  const ports = options.get('port')?.split(',')
  const hosts = names?.map((host) => ({ host, port: null as number | null })) ?? listed
  return hosts.map(({ host, port }, index) => {
    const said = ports?.[ports.length === 1 ? 0 : index]
    return { host: host === '' ? SOCKETS : host, port: said ? parsePort(said) : (port ?? PORT) }
  })
}

const parseTls = (options: Map<string, string>): PostgresTls => {
  const mode = options.get('sslmode') ?? 'prefer'
  if (!SSL_MODES.includes(mode)) throw new BadPostgresUrl(`has an sslmode that is not one of ${SSL_MODES.join(', ')}.`)
  const file = (name: string) => options.get(name) || null
  const ca = file('sslrootcert')
  const tls = { certFile: file('sslcert'), keyFile: file('sslkey') }
  if ((tls.certFile === null) !== (tls.keyFile === null)) {
    throw new BadPostgresUrl('has only one of sslcert and sslkey; a client certificate needs both.')
  }
  if (ca === 'system' && mode !== 'verify-full') {
    throw new BadPostgresUrl(
      'has sslrootcert=system, and anyone can get a certificate from these CAs. Add sslmode=verify-full.',
    )
  }
  if (mode === 'verify-ca' && ca === null) {
    throw new BadPostgresUrl(
      'has sslmode=verify-ca without sslrootcert: name the CA that signed the certificate of the server.',
    )
  }
  return { ...tls, caFile: ca === 'system' ? null : ca, mode: mode as SslMode }
}

const resolveUser = (given: string): string => (given === '' ? userInfo().username : given)

const checkSession = (options: Map<string, string>): void => {
  const attributes = options.get('target_session_attrs')
  if (attributes !== undefined && !['read-write', 'primary', 'any'].includes(attributes)) {
    throw new BadPostgresUrl(
      'has an unsupported target_session_attrs: the store needs a server that can be written to.',
    )
  }
  const seconds = options.get('connect_timeout')
  if (seconds !== undefined && !/^\d{1,4}$/.test(seconds)) {
    throw new BadPostgresUrl('has a connect_timeout that is not a number of seconds.')
  }
  if (!/^[a-z_][a-z0-9_]{0,50}$/.test(options.get('schema') ?? SCHEMA)) {
    throw new BadPostgresUrl('has a schema that is not a name of at most 51 lower-case letters, digits and _.')
  }
}

/**
 * Parses a connection URL as libpq does, including several hosts, with the options that are supported here.
 *
 * @param url `postgres://user:password@host:port,host:port/database?option=value`
 * @throws BadPostgresUrl
 */
export const parsePostgresUrl = (url: string): PostgresAddress => {
  const [, authority = '', path = '', query = ''] =
    /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url) ?? []
  const at = authority.lastIndexOf('@')
  const [, name = '', secret = ''] = /^([^:]*)(?::(.*))?$/s.exec(authority.slice(0, Math.max(0, at))) ?? []
  const options = parseOptions(query)
  checkSession(options)
  const user = resolveUser(options.get('user') ?? decoded(name))
  const seconds = Number(options.get('connect_timeout') ?? CONNECT_SECONDS)
  return {
    hosts: parseHosts(authority.slice(at + 1), options),
    user,
    password: options.get('password') ?? decoded(secret),
    database: (options.get('dbname') ?? decoded(path)) || user,
    schema: options.get('schema') ?? SCHEMA,
    applicationName: options.get('application_name') ?? 'deepsoc-gateway',
    connectTimeoutMs: (seconds === 0 ? 60 : seconds) * 1_000,
    tls: parseTls(options),
  }
}

/** Formats an address for log messages, without user and password. */
export const describePostgres = ({ hosts, database, schema }: PostgresAddress): string => {
  const named = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',')
  return `postgres://${named}/${database}${schema === SCHEMA ? '' : `?schema=${schema}`}`
}
