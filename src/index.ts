import { Gateway } from './app/gateway.ts'
import { baseUrl } from './app/serve.ts'
import { loadConfig } from './config/config.ts'
import { GatewayError } from './core/errors.ts'
import { ensureWebBundle } from './http/web-assets.ts'
import { version } from './platform/version.ts'
import { createLogger } from './telemetry/logger.ts'

/** A gateway that runs inside this process. */
export interface RunningGateway {
  /** `http://HOST:PORT`, or `https://…`, with the port that the gateway listens on. */
  readonly url: string
  readonly port: number
  /** Commits received messages, sends `closing` on all streams and closes the store. */
  stop(): Promise<void>
}

/**
 * Runs a gateway inside this process: for tests of agents and pages, or as a part of another program. It installs no
 * signal handlers and never exits the process.
 *
 * @param environment the variables of docs/OPERATIONS.md by name; process.env and .env are not read
 * @throws Error with `code`, `message` and `hint`: config_invalid, database_*, listen_failed, certificate_invalid
 */
export const startGateway = async (
  environment: Readonly<Record<string, string | undefined>> = {},
): Promise<RunningGateway> => {
  const config = loadConfig(environment)
  if (config.workers > 1) throw new GatewayError('config_invalid', 'WORKERS must be 1 inside another program.')
  await ensureWebBundle()
  const gateway = new Gateway({ config, logger: await createLogger(config.logLevel), version: version() })
  await gateway.start()
  return { url: baseUrl(config, gateway.port), port: gateway.port, stop: () => gateway.stop() }
}
