import { readFileSync } from 'node:fs'
import {
  type BrokerAddress,
  type BrokerTls,
  parseBrokerHosts,
  parseBrokerUrl,
  splitBrokerUrl,
} from '../amqp/address.ts'
import { findTlsProblems } from '../amqp/tls.ts'
import { errorChainText } from '../core/error-text.ts'
import { PublishError } from './errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Settings {
  readonly address: BrokerAddress
  readonly exchange: string
  /** Bytes. */
  readonly maxMessageBytes: number
}

/** Options that override the environment. */
export interface SettingsOverrides {
  readonly url?: string | undefined
  readonly exchange?: string | undefined
  readonly maxMessageBytes?: number | undefined
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

const DEFAULT_EXCHANGE = 'deepsoc_notifications_exchange'
const DEFAULT_MAX_BYTES = 1_048_576

const invalid = (text: string, cause?: unknown): PublishError => new PublishError('config_invalid', text, { cause })

/** Returns a variable that is set and not empty. A secret can also be read from the file named by NAME_FILE. */
const readText = (env: Environment, name: string, secret = false): string | undefined => {
  if (env[name]) return env[name]
  const file = secret ? env[`${name}_FILE`] : undefined
  if (!file) return undefined
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '') || undefined
  } catch (error) {
    // Omit the path and the original error: the secret itself may have been set by mistake.
    throw invalid(`${name}_FILE cannot be read: ${errorChainText(error).replace(/, \w+ '.*$/s, '')}`)
  }
}

const readInteger = (env: Environment, name: string, defaultValue: number, max: number): number => {
  const text = readText(env, name)
  if (text === undefined) return defaultValue
  const value = /^\d+$/.test(text) ? Number(text) : 0
  if (value < 1 || value > max) throw invalid(`${name} must be a whole number from 1 to ${max}.`)
  return value
}

const NO_FILES: BrokerTls = { caFile: null, certFile: null, keyFile: null }

/** @throws PublishError config_invalid; it never contains the URL, which may hold a password */
const parseUrl = (text: string, name: string): BrokerAddress => {
  const isUrl = (one: string): boolean =>
    URL.canParse(one) && /^amqps?:$/.test(new URL(one).protocol) && new URL(one).hostname !== ''
  const urls = splitBrokerUrl(text)
  if (!urls.every(isUrl)) throw invalid(`${name} must be an amqp:// or amqps:// URL.`)
  if (new URL(urls[0]!).search !== '') throw invalid(`${name} must have no query: options in the URL are ignored.`)
  try {
    return parseBrokerUrl(text, NO_FILES)
  } catch (error) {
    throw invalid(`${name} must be percent-encoded.`, error)
  }
}

const readAddress = (env: Environment, url: string | undefined): BrokerAddress => {
  if (url !== undefined) return parseUrl(url, 'url')
  const envUrl = readText(env, 'RABBITMQ_URL', true)
  if (envUrl !== undefined) return parseUrl(envUrl, 'RABBITMQ_URL')
  const host = readText(env, 'RABBITMQ_HOST')
  if (host === undefined) throw invalid('No broker is configured: pass url, or set RABBITMQ_URL or RABBITMQ_HOST.')
  const names = parseBrokerHosts(host)
  if (names === null)
    throw invalid('RABBITMQ_HOST must be a host, or hosts separated by commas; the port is RABBITMQ_PORT.')
  const port = readInteger(env, 'RABBITMQ_PORT', 5672, 65_535)
  return {
    hosts: names.map((hostname) => ({ hostname, port })),
    username: readText(env, 'RABBITMQ_USER') ?? 'guest',
    password: readText(env, 'RABBITMQ_PASSWORD', true) ?? 'guest',
    vhost: readText(env, 'RABBITMQ_VHOST') ?? '/',
    tls: null,
  }
}

const VARIABLES = { caFile: 'RABBITMQ_CA_FILE', certFile: 'RABBITMQ_CERT_FILE', keyFile: 'RABBITMQ_KEY_FILE' } as const
const FILES = ['caFile', 'certFile', 'keyFile'] as const

/** Adds the TLS files of amqps://, from the options or the environment. @throws PublishError config_invalid */
const withTls = (address: BrokerAddress, overrides: SettingsOverrides, env: Environment): BrokerAddress => {
  const fromOptions = FILES.filter((file) => overrides[file] !== undefined)
  // If the address comes from an option, the TLS variables of the environment belong to another broker.
  const fromEnv = FILES.filter((file) => overrides[file] === undefined && readText(env, VARIABLES[file]) !== undefined)
  if (address.tls === null) {
    const unused = [...fromOptions, ...(overrides.url === undefined ? fromEnv.map((file) => VARIABLES[file]) : [])]
    if (unused.length === 0) return address
    throw invalid(`${unused.join(', ')} set without an amqps:// URL: nothing would be encrypted.`)
  }
  const getPath = (file: (typeof FILES)[number]) => overrides[file] ?? readText(env, VARIABLES[file]) ?? null
  const tls: BrokerTls = { caFile: getPath('caFile'), certFile: getPath('certFile'), keyFile: getPath('keyFile') }
  // A missing file is named in the same way as its companion was given: as an option or as a variable.
  const byOption = (file: (typeof FILES)[number]) =>
    fromOptions.includes(file) || (fromOptions.length > 0 && !fromEnv.includes(file))
  const getName = (file: (typeof FILES)[number]) => (byOption(file) ? file : VARIABLES[file])
  const names = { caFile: getName('caFile'), certFile: getName('certFile'), keyFile: getName('keyFile') }
  const [problem] = findTlsProblems(tls, names)
  if (problem !== undefined) throw invalid(problem.text, problem.cause)
  return { ...address, tls }
}

/**
 * Reads the options and the gateway's environment variables. Options take precedence.
 *
 * @throws PublishError config_invalid
 */
export const readSettings = (overrides: SettingsOverrides, env: Environment = process.env): Settings => {
  const exchange = overrides.exchange ?? readText(env, 'RABBITMQ_EXCHANGE') ?? DEFAULT_EXCHANGE
  if (exchange === '' || Buffer.byteLength(exchange) > 240 || /\p{Cc}/u.test(exchange)) {
    throw invalid('exchange must be 1 to 240 bytes of text without control characters.')
  }
  const maxMessageBytes =
    overrides.maxMessageBytes ?? readInteger(env, 'MAX_MESSAGE_BYTES', DEFAULT_MAX_BYTES, 134_217_728)
  return { address: withTls(readAddress(env, overrides.url), overrides, env), exchange, maxMessageBytes }
}
