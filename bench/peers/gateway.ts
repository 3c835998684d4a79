import { rmSync } from 'node:fs'
import { getJson, tempDir } from '../../test/support/harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../../test/support/servers/gateway.ts'
import { type Broker, type Names, uniqueNames } from '../../test/support/servers/rabbitmq.ts'
import type { Context } from '../support/types.ts'
import { NAMES, type Peer } from './peer.ts'

export interface GatewayPeer extends Peer {
  readonly gateway: Gateway
  /** Exchange and queue in use; with a broker only. */
  readonly names: Names | null
  /** A counter of /metrics, all labels summed. */
  metric(name: string, label?: string): Promise<number>
}

export interface GatewayPeerOptions {
  /** Ingests through this broker instead of HTTP. */
  readonly broker?: Broker
  /** Exchange and queue that exist already. */
  readonly names?: Names
  /** A folder with a database; a new one if absent. */
  readonly dataDir?: string
  readonly env?: Env
}

const sumSamples = (text: string, name: string, label: string): number =>
  text
    .split('\n')
    .filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)

/** The gateway of this repository, without the search index, which no peer has. */
export const startGatewayPeer = async (
  { profileDir, workers }: Pick<Context, 'profileDir' | 'workers'>,
  options: GatewayPeerOptions = {},
): Promise<GatewayPeer> => {
  const { broker } = options
  const names = broker === undefined ? null : (options.names ?? uniqueNames('bench'))
  // A folder of its own for each start, so that it can be deleted with all that SQLite leaves beside the file.
  const dataDir = options.dataDir ?? tempDir('bench-gateway-')
  const profile = profileDir ? `--cpu-prof --cpu-prof-dir=${profileDir}` : undefined
  const gateway = await startGateway({
    dataDir,
    env: {
      LOG_LEVEL: 'info',
      AUTH: 'none',
      SEARCH: 'off',
      WORKERS: String(workers),
      NODE_OPTIONS: profile,
      ...(broker !== undefined && {
        RABBITMQ_URL: broker.url,
        RABBITMQ_EXCHANGE: names!.exchange,
        RABBITMQ_QUEUE: names!.queue,
        RABBITMQ_BINDING: names!.binding,
      }),
      ...options.env,
    },
  })
  await gateway.ready()
  const port = Number(new URL(gateway.url).port)
  return {
    name: broker === undefined ? NAMES.gateway : NAMES.gatewayAmqp,
    protocol: 'sse',
    port,
    pids: [gateway.pid],
    gateway,
    names,
    streamPath: (event_id) => `/api/events/${event_id}/stream?last_message_db_id=latest`,
    historyPath: (event_id) => `/api/events/${event_id}/stream`,
    destination:
      broker === undefined
        ? { kind: 'http', port, path: '/api/events/:event/messages' }
        : { kind: 'amqp', url: broker.url, exchange: names!.exchange },
    async metric(name, label = '') {
      return sumSamples((await getJson(`${gateway.url}/metrics`)).text, name, label)
    },
    async stop() {
      // A profile is written only by a process that may end by itself.
      if (profileDir) await gateway.term('SIGTERM')
      await gateway.dispose()
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
