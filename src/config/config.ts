import { BlockList } from 'node:net'
import { availableParallelism } from 'node:os'
import { derivePublishedByKey } from '../amqp/published-by.ts'
import type { TokenConfig } from '../http/auth/authorize.ts'
import type { Limits } from '../http/quotas.ts'
import type { CertificateFiles } from '../http/server/certificate-watcher.ts'
import type { Env } from '../platform/env.ts'
import type { PostgresAddress } from '../store/postgres/url.ts'
import type { TracingConfig } from '../telemetry/tracing.ts'
import type { UpstreamAddress } from '../upstream/core-client.ts'
import { buildAllowedHosts, buildLimits, buildTokenConfig, findVerificationKey, validateAuth } from './auth.ts'
import { type BrokerConfig, buildBrokerConfig, validateBroker } from './broker.ts'
import { validateDatabase } from './database.ts'
import { loadEnv } from './load-env.ts'
import { isPostgresUrl } from './parsers.ts'
import { type RawConfig, readRawConfig, requireValid } from './raw-config.ts'
import { validateBrokerTls, validateTls } from './tls.ts'
import { buildUpstream, validateUpstream } from './upstream.ts'
import type { ConfigValues } from './variables.ts'

/** Configuration of the gateway. Durations are in milliseconds. */
export interface Config {
  readonly host: string
  readonly port: number
  /** Path under which everything is served, without a slash at its end; '' for `/`. */
  readonly basePath: string
  /** null for plain HTTP. */
  readonly tls: CertificateFiles | null
  readonly workers: number
  /** 0 if workers that do not respond are not replaced. */
  readonly workerTimeoutMs: number
  /** Path of the SQLite file; empty with PostgreSQL. */
  readonly databaseFile: string
  /** null if the store is SQLite. */
  readonly postgres: PostgresAddress | null
  /** Maximum number of PostgreSQL connections per worker. */
  readonly databaseConnections: number
  /** null in embedded mode, and at an edge. */
  readonly broker: BrokerConfig | null
  /** null unless this gateway is an edge. */
  readonly upstream: UpstreamAddress | null
  readonly maxMessageBytes: number
  /** null if AUTH=none. */
  readonly tokens: TokenConfig | null
  /** Key that proves to the consumer that a `published_by` is the gateway's own; null if AUTH=none, or without secret and broker. */
  readonly publishedByKey: Uint8Array | null
  /** True if a key for tokens is set, even if AUTH=none. */
  readonly hasTokenKey: boolean
  /** Exact origins of other sites. */
  readonly corsOrigins: readonly string[]
  /** Host names that are served in addition to IP addresses and single-label names; null if any host is served. */
  readonly hosts: readonly string[] | null
  readonly trustedProxies: BlockList
  readonly limits: Limits
  /** null if there is no separate port for /metrics. */
  readonly metricsPort: number | null
  readonly heartbeatMs: number
  readonly streamMaxMs: number
  /** Minimum reconnection delay of clients when the gateway stops. */
  readonly shutdownRetryMs: number
  readonly retention: { readonly maxAgeMs: number | null; readonly messagesPerEvent: number | null }
  /** False if SEARCH=off. */
  readonly search: boolean
  /** null if tracing is disabled. */
  readonly tracing: TracingConfig | null
  readonly logLevel: string
  readonly shutdownMs: number
}

/** `embedded`: without a broker; `edge`: follows another gateway. */
export type GatewayMode = 'embedded' | 'broker' | 'edge'

export const getGatewayMode = ({ broker, upstream }: Pick<Config, 'broker' | 'upstream'>): GatewayMode => {
  if (upstream !== null) return 'edge'
  return broker === null ? 'embedded' : 'broker'
}

/**
 * Reads the configuration from an environment, by default that of the process merged over `.env`.
 *
 * @throws GatewayError config_invalid, whose message lists all problems, one per line
 */
export const loadConfig = (env: Env = loadEnv()): Config => buildConfig(readRawConfig(env), env)

/** Checks rules that involve several variables, and builds the configuration. @throws GatewayError config_invalid */
export const buildConfig = (raw: RawConfig, env: Env): Config => {
  validateAuth(raw)
  validateBroker(raw)
  validateBrokerTls(raw)
  validateTls(raw)
  validateDatabase(raw)
  validateUpstream(raw)
  validatePorts(raw)
  return assembleConfig(requireValid(raw, env), env)
}

/** Workers share each port: both servers would listen on one, and each request would reach either of them. */
const validatePorts = ({ values: { PORT, METRICS_PORT }, problems }: RawConfig): void => {
  if (PORT !== undefined && PORT === METRICS_PORT) {
    problems.push(`METRICS_PORT and PORT are both ${PORT}; /metrics is served on PORT too if METRICS_PORT is not set.`)
  }
}

/** Returns the configuration of a worker from the settings of its primary, which has checked them and the files that they name. */
export const loadWorkerConfig = (settings: Env): Config =>
  assembleConfig(requireValid(readRawConfig(settings), settings), settings)

const assembleConfig = (values: ConfigValues, env: Env): Config => {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } = values
  const tokens = buildTokenConfig(values)
  const broker = buildBrokerConfig(values)
  // A public key is no secret. With one, those who have the gateway's account at the broker could sign.
  const secret = tokens === null ? null : (values.JWT_SECRET ?? broker?.address.password ?? null)
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    basePath: values.BASE_PATH,
    tls: certFile === null || keyFile === null ? null : { certFile, keyFile },
    workers: values.WORKERS === 'auto' ? availableParallelism() : values.WORKERS,
    workerTimeoutMs: values.WORKER_TIMEOUT_SECONDS * 1_000,
    ...values.DATABASE_URL,
    databaseConnections: values.DATABASE_POOL_SIZE,
    broker,
    upstream: buildUpstream(values, () => requireValid(readRawConfig(env, ['UPSTREAM_TOKEN']), env).UPSTREAM_TOKEN),
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    tokens,
    publishedByKey: secret === null ? null : derivePublishedByKey(secret),
    hasTokenKey: findVerificationKey(values) !== null,
    corsOrigins: values.CORS_ORIGINS ?? [],
    hosts: buildAllowedHosts(values, tokens),
    trustedProxies: values.TRUSTED_PROXIES ?? new BlockList(),
    limits: buildLimits(values),
    metricsPort: values.METRICS_PORT,
    heartbeatMs: values.HEARTBEAT_SECONDS * 1_000,
    streamMaxMs: values.STREAM_MAX_SECONDS * 1_000,
    shutdownRetryMs: values.SHUTDOWN_RETRY_SECONDS * 1_000,
    retention: {
      maxAgeMs: values.RETENTION_DAYS === null ? null : values.RETENTION_DAYS * 86_400_000,
      messagesPerEvent: values.RETENTION_MESSAGES_PER_EVENT,
    },
    search: values.SEARCH === 'on',
    tracing: buildTracingConfig(values),
    logLevel: values.LOG_LEVEL,
    shutdownMs: values.SHUTDOWN_SECONDS * 1_000,
  })
}

const buildTracingConfig = (values: ConfigValues): TracingConfig | null => {
  const endpoint = values.OTEL_EXPORTER_OTLP_ENDPOINT
  if (endpoint === null) return null
  return { endpoint, headers: values.OTEL_EXPORTER_OTLP_HEADERS ?? {}, serviceName: values.OTEL_SERVICE_NAME }
}

/**
 * Reads only the token that commands send to a gateway. Call it again to pick up a renewed token file.
 *
 * @returns null if none is set
 * @throws GatewayError config_invalid
 */
export const readGatewayToken = (env: Env = loadEnv()): string | null =>
  requireValid(readRawConfig(env, ['GATEWAY_TOKEN']), env).GATEWAY_TOKEN

/** Reads only what the address of this gateway consists of, so that a health check does not depend on any other setting or file. */
export const readGatewayAddress = (env: Env = loadEnv()) => {
  const { HOST, PORT, BASE_PATH, TLS_CERT_FILE } = requireValid(
    readRawConfig(env, ['HOST', 'PORT', 'BASE_PATH', 'TLS_CERT_FILE']),
    env,
  )
  return { host: HOST, port: PORT, basePath: BASE_PATH, tls: TLS_CERT_FILE }
}

/** True if the store is PostgreSQL, even if that URL or another variable is invalid. */
export const usesPostgres = (env: Env = loadEnv()): boolean =>
  isPostgresUrl(readRawConfig(env, ['DATABASE_URL']).texts.get('DATABASE_URL') ?? '')
