import { createPublicKey, type KeyObject } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { EventId } from '../core/message.ts'
import type { VerificationKey } from '../http/auth/token-verifier.ts'
import { isDecodable } from './variable.ts'

/** RFC 7518, 3.2: a key of the size of the hash or larger. */
const MIN_SECRET_BYTES = 32
/** RFC 7518, 3.3. */
const MIN_RSA_BITS = 2048

/** A rule that a text broke, as the end of "NAME …". */
export class ConfigValueError extends Error {}

/** @throws BadText */
export const parseSecret = (text: string): Uint8Array => {
  const secret = Buffer.from(text)
  if (secret.length < MIN_SECRET_BYTES) {
    throw new ConfigValueError(
      `has ${secret.length} bytes; HS256 needs at least ${MIN_SECRET_BYTES}. Make one: openssl rand -base64 48`,
    )
  }
  return secret
}

/** Reads a public key in PEM; in a variable its line breaks may be written as \n. @throws BadText */
export const parsePublicKey = (text: string): Omit<Extract<VerificationKey, { kind: 'key' }>, 'kind'> => {
  const pem = text.replaceAll('\\n', '\n').trim()
  if (/PRIVATE KEY/.test(pem))
    throw new ConfigValueError('holds a private key. Give the public one; the private one signs.')
  if (!/^-----BEGIN (RSA PUBLIC KEY|PUBLIC KEY|CERTIFICATE)-----/.test(pem)) {
    throw new ConfigValueError('is no PEM text that begins with -----BEGIN PUBLIC KEY-----.')
  }
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    throw new ConfigValueError('is no readable public key in PEM.')
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

/** Whoever can change what comes from this address can make tokens, so it must be safe on the way. */
export const isJwksUrl = (text: string): boolean => {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return false
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')))
}

/** One query joins the events of a reader, and SQLite joins at most 500. */
const MAX_EVENTS = 400

/** The items of a comma-separated list. */
export const splitList = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

/** True for `https://app.example` or `http://host:8080`, and nothing that says more or less. */
export const isOrigin = (text: string): boolean =>
  /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text

export const isHostName = (text: string): boolean => /^[\w-]+(\.[\w-]+)*$/.test(text)

export const isEventList = (text: string): boolean => {
  const ids = splitList(text)
  if (text.trim() === '*') return true
  return ids.length > 0 && ids.length <= MAX_EVENTS && ids.every((id) => id !== '*' && EventId.safeParse(id).success)
}

export const parseEventList = (text: string): readonly string[] | '*' => (text.trim() === '*' ? '*' : splitList(text))

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

export const isAddressList = (text: string): boolean => {
  const scratch = new BlockList()
  return splitList(text).every((item) => addToBlockList(scratch, item))
}

/** @param text addresses and networks, comma-separated, that isAddressList has passed */
export const parseAddressList = (text: string): BlockList => {
  const list = new BlockList()
  for (const item of splitList(text)) addToBlockList(list, item)
  return list
}

/** Credentials belong into the headers, which are never shown. */
export const isOtlpEndpoint = (text: string): boolean => {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, search } = new URL(text)
  return /^https?:$/.test(protocol) && username === '' && password === '' && search === ''
}

/** Reads `name=value,name=value` as OpenTelemetry writes it, values percent-encoded. @returns null: it is none */
export const parseHeaders = (text: string): Record<string, string> | null => {
  const headers: Record<string, string> = {}
  for (const item of splitList(text)) {
    const [, name, value] = /^([\w!#$%&'*+.^`|~-]+)\s*=\s*([!-~]*)$/.exec(item) ?? []
    if (name === undefined || !isDecodable(value!)) return null
    headers[name] = decodeURIComponent(value!)
  }
  return headers
}

/** What may stand behind `Authorization: Bearer`: no line break that would end the header, no word beside the token. */
export const isBearerToken = (text: string): boolean => /^[\w.~+/-]+=*$/.test(text)
