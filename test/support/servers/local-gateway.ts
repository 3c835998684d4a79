import { join } from 'node:path'
import pino from 'pino'
import { Gateway } from '../../../src/app/gateway.ts'
import { baseUrl } from '../../../src/app/serve.ts'
import { loadConfig } from '../../../src/config/config.ts'
import { ensureWebBundle } from '../../../src/http/web-assets.ts'
import { transportEnv } from '../harness/transport.ts'
import { tempDir } from '../harness/wait.ts'
import type { Env } from './gateway.ts'

export type LocalGateway = { readonly url: string; readonly dbFile: string; stop(): Promise<void> }

/**
 * A gateway in this process, so that a test can control its clock: with `mock.timers` of node:test, or with Clock,
 * installed before it starts. Its environment contains only the given variables, and it logs nothing.
 */
export const startLocalGateway = async (env: Env = {}): Promise<LocalGateway> => {
  const dbFile = join(tempDir('gateway-data-'), 'gateway.db')
  const config = loadConfig({
    HOST: '127.0.0.1',
    PORT: '0',
    DATABASE_URL: `sqlite:${dbFile}`,
    ...transportEnv(),
    ...env,
  })
  await ensureWebBundle()
  const gateway = new Gateway({ config, logger: pino({ level: 'silent' }), version: '0.0.0' })
  await gateway.start()
  return { url: baseUrl(config, gateway.port), dbFile, stop: () => gateway.stop() }
}
