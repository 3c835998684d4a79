/**
 * Starts a whole cluster on this machine, to play with: `npm run cluster`. Ctrl-C ends it.
 */
import { rmSync } from 'node:fs'
import { ensureWebBundle } from '../src/http/web-assets.ts'
import { clusterToken, openCluster } from './support/cluster/cluster.ts'
import { Playground } from './support/cluster/play.ts'
import { bundleProgram } from './support/harness/bundle.ts'
import { provision } from './support/harness/provision.ts'
import { tempDir } from './support/harness/wait.ts'

const write = (text: string): void => void process.stdout.write(`${text}\n`)

const interrupted = new Promise<'interrupted'>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve('interrupted'))
})

for (const need of ['rabbitmq', 'postgres', 'nginx'] as const) await provision(need)
await ensureWebBundle()
const dir = tempDir('gateway-cluster-')
process.env.TMPDIR = dir
write('Starting three nodes of RabbitMQ, PostgreSQL with a standby, three gateways and nginx: about a minute.')
const opening = openCluster({ entry: await bundleProgram() })
const cluster = await Promise.race([opening, interrupted])
if (cluster === 'interrupted') process.exit(130)
const playground = new Playground(cluster)
write(`
web page, API, streams   ${cluster.nginx.url}/
token                    ${await clusterToken('player')}
RabbitMQ                 ${cluster.brokerUrl}
processes                ${await playground.start()}

The last page shows which host serves, and kills, starts and parts processes.
Messages:  GATEWAY_TOKEN=… npm start -- demo --url ${cluster.nginx.url}
Ctrl-C ends everything.`)
await interrupted
write('\nEnding nginx, the gateways, PostgreSQL and RabbitMQ, in this order.')
playground.stop()
await cluster.stop()
rmSync(dir, { recursive: true, force: true, maxRetries: 10 })
process.exit(0)
