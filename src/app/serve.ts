import cluster from 'node:cluster'
import type { Logger } from 'pino'
import { formatHosts } from '../amqp/address.ts'
import { ClusterPrimary } from '../cluster/primary.ts'
import { reservePort } from '../cluster/reserve-port.ts'
import { ClusterWorker, receiveSettings } from '../cluster/worker.ts'
import { buildConfig, type Config, getGatewayMode, loadWorkerConfig } from '../config/config.ts'
import { mergeLayers } from '../config/load-env.ts'
import { readRawConfig, resolveSettings } from '../config/raw-config.ts'
import { findConfigWarnings } from '../config/warnings.ts'
import type { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import { ensureWebBundle } from '../http/web-assets.ts'
import { type Env, readEnvLayers } from '../platform/env.ts'
import { withTimeout } from '../platform/with-timeout.ts'
import { databaseFiles, describeLocation, sharedDatabasePaths } from '../store/open-store.ts'
import { ClusterMetrics } from '../telemetry/cluster-metrics.ts'
import { createLogger } from '../telemetry/logger.ts'
import { Gateway } from './gateway.ts'

/** Part of the shutdown time that is reserved for the exit itself, in milliseconds. */
const EXIT_RESERVE_MS = 500

/** Returns the base URL of a gateway with this configuration that listens on this port. */
export const baseUrl = (config: Config, port: number): string =>
  `http${config.tls === null ? '' : 's'}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}${config.basePath}`

/** Completes "serves URL". */
const describeMode = ({ broker, upstream }: Config): string => {
  if (upstream !== null) return `as an edge of ${upstream.url}`
  if (broker === null) return 'in embedded mode (no broker: publish over HTTP)'
  return `in broker mode (queue ${broker.topology.queue} at ${formatHosts(broker.address)})`
}

/** Returns a paragraph for new users: the address, the mode, and how to listen and publish. */
const startupBanner = (config: Config, url: string): string => {
  const token = config.tokens === null ? '' : '-H "Authorization: Bearer $TOKEN" '
  return `
deepsoc-gateway serves ${url} ${describeMode(config)} and stores messages in ${describeLocation(config)}.
${config.tokens === null ? `Open ${url}/ in a browser, or subscribe` : 'Requests need a token ($TOKEN below). Subscribe'} in one terminal and publish in another:

  curl -N ${token}${url}/api/events/demo/stream
  curl ${token}-H 'Content-Type: application/json' -d '{"message_from":"me","message_type":"chat","message_content":"hello"}' ${url}/api/events/demo/messages

`
}

/** Resolves at the first SIGTERM or SIGINT. A second signal exits the process immediately. */
const waitForSignal = (logger: Logger, onSecondSignal: () => void = noop): Promise<string> =>
  new Promise((resolve) => {
    let isFirst = true
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!isFirst) {
          onSecondSignal()
          process.exit(1)
        }
        isFirst = false
        logger.info({ signal }, 'signal received')
        resolve(signal)
      })
    }
  })

/** Called with the port once the gateway accepts requests. */
export type OnListening = (port: number) => void

/** Reports that the gateway accepts requests: a log line, and a paragraph for people. */
const logListening = (config: Config, logger: Logger, url: string): void => {
  process.stderr.write(startupBanner(config, url))
  const { workers } = config
  if (config.tokens === null && config.hasTokenKey) {
    logger.warn('AUTH=none: authentication is disabled although a token key is configured')
  }
  const paths = sharedDatabasePaths(config)
  if (paths.length > 0) {
    const hint = `Unless they are meant to: chmod go= ${paths.join(' ')}`
    logger.warn({ paths, hint }, 'other users of this host have access to files of the database')
  }
  const mode = getGatewayMode(config)
  const upstream = config.upstream === null ? {} : { upstream: config.upstream.url }
  logger.info({ url, mode, ...upstream, database: describeLocation(config), workers }, 'listening')
}

/**
 * Runs the gateway until a signal, as a single process or as the primary of its workers.
 *
 * @param onListening called once the gateway accepts requests; never called in a worker
 * @returns the exit code: 0 if everything stopped within SHUTDOWN_SECONDS, else 1
 * @throws GatewayError config_invalid, database_* or listen_failed
 */
export const serveUntilSignal = async (version: string, onListening: OnListening = noop): Promise<number> => {
  if (cluster.isWorker) return serveAsWorker(version)
  const layers = readEnvLayers()
  const env = mergeLayers(layers)
  const raw = readRawConfig(env)
  const config = buildConfig(raw, env)
  const logger = await createLogger(config.logLevel)
  for (const { text, ...fields } of findConfigWarnings(layers)) logger.warn(fields, text)
  await ensureWebBundle()
  if (config.workers > 1) return serveAsPrimary(config, resolveSettings(raw), logger, onListening)
  const { promise: unusable, onUnusable } = watchStore(logger)
  return runGateway(new Gateway({ config, logger, version, onUnusable }), config, logger, onListening, unusable)
}

/** Returns a promise that resolves once the store can be written no more, and the callback that resolves it. */
const watchStore = (logger: Logger) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const onUnusable = (error: GatewayError): void => {
    logger.error({ code: error.code, err: error }, 'the database can be written no more, stopping')
    resolve()
  }
  return { promise, onUnusable }
}

/** Runs a gateway that was already constructed. @param unusable ends it like a signal, so that its supervisor starts it again */
export const runGateway = async (
  gateway: Gateway,
  config: Config,
  logger: Logger,
  onListening: OnListening = noop,
  unusable: Promise<unknown> = new Promise(noop),
): Promise<number> => {
  const signalReceived = waitForSignal(logger)
  if (!(await startUnlessStopped(gateway, signalReceived))) return 0
  logListening(config, logger, baseUrl(config, gateway.port))
  onListening(gateway.port)
  await Promise.race([signalReceived, unusable])
  return stopWithDeadline(gateway, config, logger)
}

/**
 * Starts a gateway, unless `stopped` resolves first: startup may still be waiting for the database, but no request has been accepted, so
 * the process can exit immediately.
 *
 * @returns whether it has started
 */
const startUnlessStopped = (gateway: Gateway, stopped: Promise<unknown>): Promise<boolean> => {
  const started = gateway.start()
  started.catch(noop)
  return Promise.race([started.then(() => true), stopped.then(() => false)])
}

const serveAsPrimary = async (
  config: Config,
  settings: Env,
  logger: Logger,
  onListening: OnListening,
): Promise<number> => {
  const port = await reservePort(config.host, config.port)
  if (config.metricsPort !== null) await reservePort(config.host, config.metricsPort)
  // A restarted worker would otherwise open another database than the others if a symbolic link of its path has changed.
  const database = config.postgres === null ? { DATABASE_URL: `sqlite:${config.databaseFile}` } : {}
  const primary = new ClusterPrimary({
    settings: { ...settings, PORT: String(port), ...database },
    workers: config.workers,
    databaseFiles: () => databaseFiles(config),
    metrics: new ClusterMetrics(),
    workerTimeoutMs: config.workerTimeoutMs,
    logger,
    stopMs: config.shutdownMs - EXIT_RESERVE_MS,
    onListening: (url) => {
      logListening(config, logger, url)
      onListening(port)
    },
  })
  const signalReceived = waitForSignal(logger, () => primary.kill())
  const failed = await Promise.race([primary.run(), signalReceived.then(() => null)])
  if (failed !== null) return failed
  const code = await primary.stop()
  logger.info('stopped')
  return code
}

const serveAsWorker = async (version: string): Promise<number> => {
  const worker = new ClusterWorker()
  const stopAccepting = Promise.withResolvers<void>()
  // Before the first await: Node drops a message for which there is no listener once there has been one.
  const stopped = worker.waitForDrain(stopAccepting.resolve)
  const config = loadWorkerConfig(await receiveSettings())
  const logger = (await createLogger(config.logLevel)).child({ worker: cluster.worker!.id })
  const { promise: unusable, onUnusable } = watchStore(logger)
  const gateway = new Gateway({
    config,
    logger,
    version,
    changes: worker.changes,
    metricsText: () => worker.metricsText(),
    healthReport: worker.healthReport,
    reusePort: true,
    clusterPeers: worker,
    onUnusable,
  })
  worker.setStatusSource(gateway)
  worker.onUnresponsive((error) => gateway.reportWorkers(error))
  const drained = Promise.race([stopped, unusable])
  if (!(await startUnlessStopped(gateway, Promise.race([stopAccepting.promise, drained])))) return 0
  void stopAccepting.promise.then(() => gateway.stopAccepting())
  worker.listening(baseUrl(config, gateway.port))
  const reason = await drained
  if (reason === 'primary_exited') logger.warn('the primary exited, stopping')
  const code = await stopWithDeadline(gateway, config, logger)
  // Counted until the end, so that an orderly exit loses nothing.
  await withTimeout(EXIT_RESERVE_MS / 2, worker.sendStatus())
  return code
}

const stopWithDeadline = async (gateway: Gateway, config: Config, logger: Logger): Promise<number> => {
  const deadline = new Promise<'late'>((resolve) => {
    setTimeout(resolve, Math.max(EXIT_RESERVE_MS, config.shutdownMs - EXIT_RESERVE_MS), 'late')
  })
  const outcome = await Promise.race([gateway.stop().then(() => 'stopped' as const), deadline])
  if (outcome === 'stopped') {
    logger.info('stopped')
    return 0
  }
  logger.error('shutdown deadline exceeded; RabbitMQ will redeliver unacknowledged messages')
  return 1
}
