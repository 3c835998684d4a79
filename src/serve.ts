import type { Logger } from 'pino'
import { type Config, loadConfig, readEnvironment } from './config.ts'
import { Gateway } from './gateway.ts'
import { makeLogger } from './telemetry.ts'

/** The last part of the drain deadline is kept for the exit itself. */
const RESERVE_MS = 500

const urlOf = (config: Config, port: number): string =>
  `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`

/** What a newcomer needs to know, in one readable paragraph. */
const welcome = (config: Config, url: string): string => {
  const mode =
    config.broker === null
      ? 'embedded mode (no broker: publish over HTTP)'
      : `broker mode (queue ${config.broker.topology.queue} at ${config.broker.address.hostname}:${config.broker.address.port})`
  return `
deepsoc-gateway serves ${url} in ${mode}, its log in ${config.databaseFile}.
Open ${url}/ in a browser, or listen in one terminal and publish in another:

  curl -N ${url}/api/events/demo/stream
  curl -H 'Content-Type: application/json' -d '{"message_from":"me","message_type":"chat","message_content":"hello"}' ${url}/api/events/demo/messages

`
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
const untilSignal = (logger: Logger): Promise<string> =>
  new Promise((resolve) => {
    let first = true
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!first) process.exit(1)
        first = false
        logger.info({ signal }, 'signal received')
        resolve(signal)
      })
    }
  })

/**
 * Runs the gateway until a signal ends it.
 *
 * @returns the exit code: 0 when everything stopped inside SHUTDOWN_SECONDS, else 1
 * @throws GatewayError config_invalid, database_* or address_unavailable
 */
export const serve = async (version: string): Promise<number> => {
  const config = loadConfig(readEnvironment())
  const logger = makeLogger(config.logLevel)
  const gateway = new Gateway({ config, logger, version })
  return run(gateway, config, logger)
}

/** Runs a gateway that is put together already. */
export const run = async (gateway: Gateway, config: Config, logger: Logger): Promise<number> => {
  const signalled = untilSignal(logger)
  await gateway.start()
  const url = urlOf(config, gateway.port)
  process.stderr.write(welcome(config, url))
  logger.info({ url, mode: gateway.mode, database: config.databaseFile }, 'listening')
  await signalled
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
