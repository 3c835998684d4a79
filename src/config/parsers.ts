import { createPublicKey, type KeyObject } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { type BrokerAddress, type BrokerTls, parseBrokerUrl, splitBrokerUrl } from '../amqp/address.ts'
import { EventId } from '../core/message.ts'
import { MAX_TOKEN_EVENTS } from '../http/auth/claims.ts'
import type { VerificationKey } from '../http/auth/token-verifier.ts'
import type { StoreLocation } from '../store/open-store.ts'
import { BadPostgresUrl, parsePostgresUrl } from '../store/postgres/url.ts'
import { resolveLink } from '../store/sqlite/durable-file.ts'
import { redactUrl } from './redact.ts'

/** RFC 7518, 3.2: the key must be at least as long as the hash. */
const MIN_SECRET_BYTES = 32
/** RFC 7518, 3.3. */
const MIN_RSA_BITS = 2048

/** Error in a value. Its message completes "NAME …" and never contains the value. */
export class ConfigValueError extends Error {}

/** @throws ConfigValueError */
export const parseSecret = (text: string): Uint8Array => {
  const secret = Buffer.from(text)
  if (secret.length < MIN_SECRET_BYTES) {
    throw new ConfigValueError(
      `has ${secret.length} bytes; HS256 needs at least ${MIN_SECRET_BYTES}. Generate one (openssl rand -base64 48) and set it here and where the tokens are signed (DeepSOC: JWT_SECRET_KEY in its .env).`,
    )
  }
  return secret
}

/** Parses a public key in PEM. Line breaks can be written as \n. @throws ConfigValueError */
export const parsePublicKey = (text: string): Omit<Extract<VerificationKey, { kind: 'key' }>, 'kind'> => {
  const pem = text.replaceAll('\\n', '\n').trim()
  if (/PRIVATE KEY/.test(pem))
    throw new ConfigValueError('contains a private key. Set the public key; only the issuer needs the private one.')
  if (!/^-----BEGIN (RSA PUBLIC KEY|PUBLIC KEY|CERTIFICATE)-----/.test(pem)) {
    throw new ConfigValueError('is not PEM text that begins with -----BEGIN PUBLIC KEY-----.')
  }
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    throw new ConfigValueError('is not a readable public key in PEM.')
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa') {
    if (modulusLength >= MIN_RSA_BITS) return { key, algorithm: 'RS256' }
    throw new ConfigValueError(`is an RSA key of ${modulusLength} bits; at least ${MIN_RSA_BITS} are needed.`)
  }
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return { key, algorithm: 'ES256' }
  if (key.asymmetricKeyType === 'ed25519') return { key, algorithm: 'EdDSA' }
  throw new ConfigValueError('must be an RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA) key.')
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/**
 * Parses JWT_JWKS_URL. Plain HTTP is accepted for loopback only: an attacker who can modify the key set in transit can
 * forge tokens.
 */
export const parseJwksUrl = (text: string): URL | null => {
  const url = URL.parse(text)
  if (url === null || url.username !== '' || url.password !== '') return null
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(withoutBrackets(url.hostname)))
  return isSafe ? url : null
}

/** @returns the URL without a slash at its end */
export const parseUpstreamUrl = (text: string): string | null => {
  const url = URL.parse(text)
  const isBare = url !== null && `${url.username}${url.password}${url.search}${url.hash}` === ''
  return isBare && /^https?:$/.test(url.protocol) ? url.href.replace(/\/+$/, '') : null
}

/** Removes the brackets of an IPv6 address in a URL, which sockets do not accept. */
const withoutBrackets = (hostname: string): string => hostname.replace(/^\[|\]$/g, '')

/** Segments that need no escapes in an address, a cookie, or the configuration of a proxy. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)*\/?$/

/** @returns the path without a slash at its end, so that `/` is '' */
export const parseBasePath = (text: string): string | null => (PATH.test(text) ? text.replace(/\/$/, '') : null)

/** Splits a comma-separated list; empty items are dropped. */
const splitList = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

/** Misspelled http(s), and schemes whose pages have no origin of their own. */
const NO_ORIGIN_SCHEME = /^(?!https?:)([htps]+|wss?|ftp|file|data|blob|about|javascript):/

/**
 * Returns the spelling of an origin that browsers send: `https://app.example`, `http://host:8080`, or that of an app or
 * an extension, such as `capacitor://localhost`.
 *
 * @returns null if the text does not contain an origin
 */
const toOrigin = (text: string): string | null => {
  const url = /^[a-z][a-z\d+.-]*:\/\/[^*\s]+$/i.test(text) ? URL.parse(text) : null
  if (url === null || url.host === '' || NO_ORIGIN_SCHEME.test(url.protocol)) return null
  return `${url.protocol}//${url.host.toLowerCase()}`
}

/** @throws ConfigValueError for an origin that no browser sends in this spelling */
export const parseOriginList = (text: string): readonly string[] | null => {
  const origins = splitList(text)
  for (const given of origins) {
    const origin = toOrigin(given)
    if (origin === null) return null
    if (origin !== given)
      throw new ConfigValueError(
        `must be exact origins: browsers send ${JSON.stringify(redactUrl(given))} as ${origin}.`,
      )
  }
  return origins
}

/** @returns the names in lower case */
export const parseHostList = (text: string): readonly string[] | null => {
  const names = splitList(text.toLowerCase())
  return names.every((name) => /^[\w-]+(\.[\w-]+)*$/.test(name)) ? names : null
}

export const parseEventList = (text: string): readonly string[] | '*' | null => {
  if (text.trim() === '*') return '*'
  const ids = splitList(text)
  const areIds = ids.every((id) => id !== '*' && EventId.safeParse(id).success)
  return areIds && ids.length > 0 && ids.length <= MAX_TOKEN_EVENTS ? ids : null
}

const addToBlockList = (list: BlockList, text: string): boolean => {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  const family = version === 4 ? 'ipv4' : 'ipv6'
  if (prefix === undefined) {
    list.addAddress(address, family)
    return true
  }
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > (version === 4 ? 32 : 128)) return false
  list.addSubnet(address, Number(prefix), family)
  return true
}

/** Parses IP addresses and networks, comma-separated. */
export const parseAddressList = (text: string): BlockList | null => {
  const list = new BlockList()
  return splitList(text).every((item) => addToBlockList(list, item)) ? list : null
}

/** Rejects credentials in the URL: they belong in the headers, which are never shown. */
export const isOtlpEndpoint = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && `${url.username}${url.password}${url.search}` === ''
}

const isDecodable = (part: string): boolean => {
  try {
    decodeURIComponent(part)
    return true
  } catch {
    return false
  }
}

/** Parses `name=value,name=value` in OpenTelemetry's format, with percent-encoded values. */
export const parseHeaders = (text: string): Readonly<Record<string, string>> | null => {
  const headers: Record<string, string> = {}
  for (const item of splitList(text)) {
    const [, name, value] = /^([\w!#$%&'*+.^`|~-]+)\s*=\s*([!-~]*)$/.exec(item) ?? []
    if (name === undefined || !isDecodable(value!)) return null
    headers[name] = decodeURIComponent(value!)
  }
  return headers
}

/** True if the text can follow `Authorization: Bearer`: no line break that would end the header, no second word. */
export const isBearerToken = (text: string): boolean => /^[\w.~+/-]+=*$/.test(text)

const NO_FILES: BrokerTls = { caFile: null, certFile: null, keyFile: null }

/**
 * Parses RABBITMQ_URL. The TLS files of amqps:// have their own variables, so they are null in the result.
 *
 * @throws ConfigValueError
 */
export const parseRabbitmqUrl = (text: string): BrokerAddress | null => {
  const urls = splitBrokerUrl(text).map((one) => URL.parse(one))
  if (urls.some((one) => one === null || !/^amqps?:$/.test(one.protocol) || one.hostname === '')) return null
  const url = urls[0]!
  if (![url.username, url.password, url.pathname].every(isDecodable)) return null
  if (url.search !== '') throw new ConfigValueError('must have no query: options in the URL are ignored.')
  return parseBrokerUrl(text, NO_FILES)
}

export const isPostgresUrl = (text: string): boolean => /^postgres(ql)?:/.test(text)

/** The path of an SQLite file has its symbolic link resolved, once for all that use the file. @throws ConfigValueError */
export const parseDatabaseUrl = (text: string): Omit<StoreLocation, 'databaseConnections'> | null => {
  const [, databaseFile] = /^sqlite:(.+)$/s.exec(text) ?? []
  if (databaseFile !== undefined) return { databaseFile: resolveLink(databaseFile), postgres: null }
  if (/^(mysql|mariadb)\b/.test(text)) {
    throw new ConfigValueError(
      'names a MySQL database, such as DeepSOC’s own. The gateway has a database of its own: set DATABASE_URL=sqlite:data/gateway.db or postgres://… in the environment of the gateway, which takes precedence over .env.',
    )
  }
  if (!/^postgres(ql)?:\/\/.+$/s.test(text)) return null
  try {
    return { databaseFile: '', postgres: parsePostgresUrl(text) }
  } catch (error) {
    if (!(error instanceof BadPostgresUrl)) throw error
    throw new ConfigValueError(error.message)
  }
}
