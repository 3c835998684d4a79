import { readFileSync } from 'node:fs'
import type { BlockList } from 'node:net'
import { availableParallelism } from 'node:os'
import type { BrokerAddress } from '../amqp/connection.ts'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import type { TokenConfig } from '../http/auth/authorize.ts'
import type { Limits } from '../http/quotas.ts'
import type { CertificateFiles } from '../http/server/certificate-watcher.ts'
import type { Topology } from '../ingest/topology.ts'
import { type Env, loadEnv } from '../platform/env.ts'
import type { PostgresAddress } from '../store/postgres/url.ts'
import type { TracingConfig } from '../telemetry/tracing.ts'
import { hasTokenKey, parseAllowedHosts, parseLimits, parseTokenConfig, validateListenHost } from './auth.ts'
import { parsePostgresConfig, parseSqlitePath } from './database.ts'
import { parseAddressList, parseHeaders, splitList } from './parsers.ts'
import { parseBrokerTls, parseTlsConfig, validateBrokerTls } from './tls.ts'
import type { ConfigVariable } from './variable.ts'
import { CONFIG_VARIABLES } from './variables.ts'

/** What the gateway runs by. Durations in milliseconds. */
export interface Config {
  readonly host: string
  readonly port: number
  /** null: plain HTTP. */
  readonly tls: CertificateFiles | null
  readonly workers: number
  /** Path of the SQLite file; empty with PostgreSQL. */
  readonly databaseFile: string
  /** null: the log is in SQLite. */
  readonly postgres: PostgresAddress | null
  /** Connections to PostgreSQL of one worker at most. */
  readonly databaseConnections: number
  /** null: embedded mode. */
  readonly broker: { readonly address: BrokerAddress; readonly topology: Topology; readonly prefetch: number } | null
  readonly maxMessageBytes: number
  /** null: AUTH=none. */
  readonly tokens: TokenConfig | null
  /** A key for tokens is there, used or not. */
  readonly hasTokenKey: boolean
  /** Exact origins of other sites. */
  readonly corsOrigins: readonly string[]
  /** Host names that are served beside addresses and names of one label; null: any. */
  readonly hosts: readonly string[] | null
  readonly trustedProxies: BlockList
  readonly limits: Limits
  /** null: /metrics only beside everything else. */
  readonly metricsPort: number | null
  readonly heartbeatMs: number
  readonly streamMaxMs: number
  readonly retention: { readonly maxAgeMs: number | null; readonly messagesPerEvent: number | null }
  /** null: no spans are made. */
  readonly tracing: TracingConfig | null
  readonly logLevel: string
  readonly shutdownMs: number
  /** Every variable as it holds, for the `config` command; secrets masked. */
  readonly redactedValues: Readonly<Record<string, string>>
}

export { type Env as Environment, loadEnv as readEnvironment } from '../platform/env.ts'
export { isBearerToken as isToken } from './parsers.ts'

interface Read {
  readonly values: Map<string, unknown>
  readonly texts: Map<string, string>
  readonly given: Set<string>
  readonly problems: string[]
}

/** A variable's text: its own, that of the file NAME_FILE, or its default. Empty counts as not set. */
const textOf = (variable: ConfigVariable, env: Env, read: Read): string | null => {
  const own = env[variable.name]
  const file = variable.secret ? env[`${variable.name}_FILE`] : undefined
  if (own) {
    if (file) read.problems.push(`${variable.name} and ${variable.name}_FILE are both set; keep one.`)
    read.given.add(variable.name)
    return own
  }
  if (file) {
    read.given.add(variable.name)
    try {
      return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
    } catch (error) {
      // Without the path: the secret itself may have been given instead of its file.
      const why = errorChainText(error).replace(/, \w+ '.*$/s, '')
      read.problems.push(`${variable.name}_FILE cannot be read: ${why}`)
      return null
    }
  }
  return variable.default
}

const readVariable = (variable: ConfigVariable, env: Env, read: Read): void => {
  const text = textOf(variable, env, read)
  if (text === null) return
  const result = variable.schema.safeParse(text)
  if (!result.success) {
    const shown = variable.secret ? '' : `, not ${JSON.stringify(text)}`
    read.problems.push(`${variable.name} must be ${variable.constraint}${shown}.`)
    return
  }
  read.values.set(variable.name, result.data)
  read.texts.set(variable.name, text)
}

/** user:password@ of a URL become stars, up to the last @: a password may hold a slash that was not encoded. */
const redact = (variable: ConfigVariable, text: string): string => {
  if (!variable.secret) return text
  return text.includes('://')
    ? text.replace(/\/\/.*@/, '//***@').replace(/\?.*$/, '?***')
    : text.startsWith('sqlite:')
      ? text
      : '***'
}

const addressOf = (read: Read): BrokerAddress | null => {
  const value = <T>(name: string) => read.values.get(name) as T
  if (read.values.has('RABBITMQ_URL')) {
    const url = new URL(value<string>('RABBITMQ_URL'))
    const tls = url.protocol === 'amqps:'
    const vhost = decodeURIComponent(url.pathname.slice(1))
    return {
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (tls ? 5671 : 5672) : Number(url.port),
      // The library would send an empty name where the URL has none.
      username: url.username === '' ? 'guest' : decodeURIComponent(url.username),
      password: url.username === '' ? 'guest' : decodeURIComponent(url.password),
      vhost: vhost === '' ? '/' : vhost,
      tls: tls ? parseBrokerTls(read) : null,
    }
  }
  if (!read.values.has('RABBITMQ_HOST')) return null
  return {
    hostname: value('RABBITMQ_HOST'),
    port: value('RABBITMQ_PORT'),
    username: value('RABBITMQ_USER'),
    password: value('RABBITMQ_PASSWORD'),
    vhost: value('RABBITMQ_VHOST'),
    tls: null,
  }
}

/** Rules that two variables share. */
const validateCombinations = (read: Read): void => {
  validateListenHost(read)
  const alone = ['RABBITMQ_PORT', 'RABBITMQ_USER', 'RABBITMQ_PASSWORD', 'RABBITMQ_VHOST']
  const given = alone.filter((name) => read.given.has(name))
  if (given.length > 0 && !read.given.has('RABBITMQ_URL') && !read.given.has('RABBITMQ_HOST')) {
    read.problems.push(`${given.join(', ')} set without RABBITMQ_HOST or RABBITMQ_URL.`)
  }
  const url = read.values.get('RABBITMQ_URL') as string | undefined
  if (url !== undefined && new URL(url).search !== '') {
    read.problems.push('RABBITMQ_URL must have no query: options in it are not honoured.')
  }
  validateBrokerTls(read)
}

const createRawConfig = (): Read => ({ values: new Map(), texts: new Map(), given: new Set(), problems: [] })

const throwIfInvalid = ({ problems }: Read): void => {
  if (problems.length > 0) throw new GatewayError('config_invalid', problems.join('\n'))
}

const GATEWAY_TOKEN = CONFIG_VARIABLES.filter(({ name }) => name === 'GATEWAY_TOKEN')

/**
 * The token that commands show to a gateway, alone and as it is now: its file may have been renewed. null: none.
 *
 * @throws GatewayError config_invalid
 */
export const readGatewayToken = (env: Env = loadEnv()): string | null => {
  const read = createRawConfig()
  for (const variable of GATEWAY_TOKEN) readVariable(variable, env, read)
  throwIfInvalid(read)
  return (read.values.get('GATEWAY_TOKEN') as string | undefined) ?? null
}

const DATABASE_URL = CONFIG_VARIABLES.find(({ name }) => name === 'DATABASE_URL')!

/** Whether the log is in PostgreSQL, whatever else is set, or wrong. */
export const usesPostgres = (env: Env = loadEnv()): boolean =>
  /^postgres(ql)?:/.test(textOf(DATABASE_URL, env, createRawConfig()) ?? '')

/**
 * Reads the configuration out of an environment.
 *
 * @throws GatewayError config_invalid with all faults at once, one to a line of its message
 */
export const loadConfig = (env: Env): Config => {
  const read = createRawConfig()
  for (const variable of CONFIG_VARIABLES) readVariable(variable, env, read)
  validateCombinations(read)
  const tokens = parseTokenConfig(read)
  const tls = parseTlsConfig(read)
  const postgres = parsePostgresConfig(read)
  throwIfInvalid(read)
  return Object.freeze({ ...buildConfig(read, tokens, tls), postgres })
}

const buildConfig = (
  read: Read,
  tokens: TokenConfig | null,
  tls: CertificateFiles | null,
): Omit<Config, 'postgres'> => {
  const value = <T>(name: string) => read.values.get(name) as T
  const address = addressOf(read)
  const days = value<number | undefined>('RETENTION_DAYS')
  const topology: Topology = {
    exchange: value('RABBITMQ_EXCHANGE'),
    queue: value('RABBITMQ_QUEUE'),
    binding: value('RABBITMQ_BINDING'),
    queueType: value('RABBITMQ_QUEUE_TYPE'),
  }
  return {
    host: value('HOST'),
    port: value('PORT'),
    tls,
    workers: value('WORKERS') === 'auto' ? availableParallelism() : value('WORKERS'),
    databaseFile: parseSqlitePath(read),
    databaseConnections: value('DATABASE_CONNECTIONS'),
    broker: address === null ? null : { address, topology, prefetch: value('RABBITMQ_PREFETCH') },
    maxMessageBytes: value('MAX_MESSAGE_BYTES'),
    tokens,
    hasTokenKey: hasTokenKey(read),
    corsOrigins: splitList(value<string | undefined>('CORS_ORIGINS') ?? ''),
    hosts: parseAllowedHosts(read, tokens),
    trustedProxies: parseAddressList(value<string | undefined>('TRUSTED_PROXIES') ?? ''),
    limits: parseLimits(read),
    metricsPort: value<number | undefined>('METRICS_PORT') ?? null,
    heartbeatMs: value<number>('HEARTBEAT_SECONDS') * 1_000,
    streamMaxMs: value<number>('STREAM_MAX_SECONDS') * 1_000,
    retention: {
      maxAgeMs: days === undefined ? null : days * 86_400_000,
      messagesPerEvent: value<number | undefined>('RETENTION_MESSAGES_PER_EVENT') ?? null,
    },
    tracing: tracingOf(read),
    logLevel: value('LOG_LEVEL'),
    shutdownMs: value<number>('SHUTDOWN_SECONDS') * 1_000,
    redactedValues: Object.fromEntries(
      CONFIG_VARIABLES.map((variable) => [variable.name, redact(variable, read.texts.get(variable.name) ?? '')]),
    ),
  }
}

const tracingOf = ({ values }: Read): TracingConfig | null => {
  const endpoint = values.get('OTEL_EXPORTER_OTLP_ENDPOINT') as string | undefined
  if (endpoint === undefined) return null
  const headers = parseHeaders((values.get('OTEL_EXPORTER_OTLP_HEADERS') as string | undefined) ?? '') ?? {}
  return { endpoint, headers, serviceName: values.get('OTEL_SERVICE_NAME') as string }
}

/** The text of .env.sample. */
export const renderEnvSample = (): string => {
  const lines = [
    '# Settings of deepsoc-gateway, each with its default. Copy to .env and change what you need.',
    '# Made from src/config/variables.ts by: npm run env-sample',
  ]
  for (const variable of CONFIG_VARIABLES) {
    lines.push(
      '',
      `# ${variable.description}`,
      `# ${variable.constraint}${variable.secret ? `; also ${variable.name}_FILE` : ''}`,
    )
    lines.push(`#${variable.name}=${variable.default ?? ''}`)
  }
  return `${lines.join('\n')}\n`
}
