import cluster from 'node:cluster'
import type { Logger } from 'pino'
import { findPort, Primary } from '../cluster/primary.ts'
import { Sibling } from '../cluster/worker.ts'
import { type Config, loadConfig, readEnvironment } from '../config/config.ts'
import { freshenWebAssets } from '../http/web-assets.ts'
import { describePlace } from '../store/open-store.ts'
import { makeGatherer, shareMetrics } from '../telemetry/callback-metrics.ts'
import { makeLogger } from '../telemetry/logger.ts'
import { Gateway } from './gateway.ts'

/** The last part of the drain deadline is kept for the exit itself. */
const RESERVE_MS = 500

/** Where a gateway of this configuration serves that listens on this port. */
export const addressOf = (config: Config, port: number): string =>
  `http${config.tls === null ? '' : 's'}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`

/** What a newcomer needs to know, in one readable paragraph. */
const welcome = (config: Config, url: string): string => {
  const mode =
    config.broker === null
      ? 'embedded mode (no broker: publish over HTTP)'
      : `broker mode (queue ${config.broker.topology.queue} at ${config.broker.address.hostname}:${config.broker.address.port})`
  const token = config.tokens === null ? '' : '-H "Authorization: Bearer $TOKEN" '
  return `
deepsoc-gateway serves ${url} in ${mode}, its log in ${describePlace(config)}.
${config.tokens === null ? `Open ${url}/ in a browser, or listen` : 'Who calls needs a token ($TOKEN below). Listen'} in one terminal and publish in another:

  curl -N ${token}${url}/api/events/demo/stream
  curl ${token}-H 'Content-Type: application/json' -d '{"message_from":"me","message_type":"chat","message_content":"hello"}' ${url}/api/events/demo/messages

`
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
const untilSignal = (logger: Logger, onSecond: () => void = () => undefined): Promise<string> =>
  new Promise((resolve) => {
    let first = true
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!first) {
          onSecond()
          process.exit(1)
        }
        first = false
        logger.info({ signal }, 'signal received')
        resolve(signal)
      })
    }
  })

/** Told of the port once the gateway serves. */
export type OnListening = (port: number) => void

/** Says that the gateway serves: a line for the log, a paragraph for people. */
const announce = (config: Config, logger: Logger, url: string): void => {
  process.stderr.write(welcome(config, url))
  const { workers, broker } = config
  if (config.tokens === null && config.keySet) {
    logger.warn('AUTH=none: a key for tokens is set, but everybody who reaches the address may do everything')
  }
  const mode = broker === null ? 'embedded' : 'broker'
  logger.info({ url, mode, database: describePlace(config), workers }, 'listening')
}

/**
 * Runs the gateway until a signal ends it: alone, or as the primary of its workers.
 *
 * @param onListening called once the gateway serves; never in a worker
 * @returns the exit code: 0 when everything stopped inside SHUTDOWN_SECONDS, else 1
 * @throws GatewayError config_invalid, database_* or address_unavailable
 */
export const serve = async (version: string, onListening: OnListening = () => undefined): Promise<number> => {
  const config = loadConfig(readEnvironment())
  const logger = await makeLogger(config.logLevel)
  if (cluster.isWorker) return serveAsWorker(config, logger.child({ worker: cluster.worker!.id }), version)
  await freshenWebAssets()
  if (config.workers > 1) return serveAsPrimary(config, logger, onListening)
  return run(new Gateway({ config, logger, version }), config, logger, onListening)
}

/** Runs a gateway that is put together already. */
export const run = async (
  gateway: Gateway,
  config: Config,
  logger: Logger,
  onListening: OnListening = () => undefined,
): Promise<number> => {
  const signalled = untilSignal(logger)
  await gateway.start()
  announce(config, logger, addressOf(config, gateway.port))
  onListening(gateway.port)
  await signalled
  return stopInTime(gateway, config, logger)
}

const serveAsPrimary = async (config: Config, logger: Logger, onListening: OnListening): Promise<number> => {
  const port = await findPort(config.host, config.port)
  const primary = new Primary({
    port,
    workers: config.workers,
    gatherMetrics: makeGatherer(),
    logger,
    stopMs: config.shutdownMs - RESERVE_MS,
    onListening: (url) => {
      announce(config, logger, url)
      onListening(port)
    },
  })
  const signalled = untilSignal(logger, () => primary.kill())
  const failed = await Promise.race([primary.run(), signalled.then(() => null)])
  if (failed !== null) return failed
  const code = await primary.stop()
  logger.info('stopped')
  return code
}

const serveAsWorker = async (config: Config, logger: Logger, version: string): Promise<number> => {
  const sibling = new Sibling()
  const gateway = new Gateway({
    config,
    logger,
    version,
    bell: sibling.bell,
    metricsText: () => sibling.metricsText(),
    overview: sibling.overview,
    sharedPort: true,
    siblings: sibling,
  })
  shareMetrics(gateway.registry)
  sibling.onVitals(() => gateway.vitals())
  await gateway.start()
  sibling.listening(addressOf(config, gateway.port))
  await sibling.untilDrain(() => gateway.refuse())
  return stopInTime(gateway, config, logger)
}

const stopInTime = async (gateway: Gateway, config: Config, logger: Logger): Promise<number> => {
  const deadline = new Promise<'late'>((resolve) => {
    setTimeout(resolve, Math.max(RESERVE_MS, config.shutdownMs - RESERVE_MS), 'late')
  })
  const end = await Promise.race([gateway.stop().then(() => 'stopped' as const), deadline])
  if (end === 'stopped') {
    logger.info('stopped')
    return 0
  }
  logger.error('not everything has stopped in time; what was not acknowledged, the broker delivers again')
  return 1
}
