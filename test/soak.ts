/**
 * Injects random faults into a gateway or a cluster under load, for as long as requested, and checks that nothing is lost.
 * `npm run soak -- --help` describes it.
 */
import { parseArgs } from 'node:util'
import { ensureWebBundle } from '../src/http/web-assets.ts'
import { CLUSTER_KINDS, type ClusterFaultKind } from './support/cluster/faults.ts'
import { playRounds } from './support/cluster/rounds.ts'
import { bundleProgram } from './support/harness/bundle.ts'
import { provision } from './support/harness/provision.ts'
import { possibleKinds, soak } from './support/resilience/soak.ts'
import { FAULT_KINDS, type FaultKind } from './support/resilience/soak-faults.ts'
import { isClean, type Round, renderLedger, renderRound } from './support/resilience/soak-ledger.ts'

const USAGE = `npm run soak -- [options]

Injects random faults into a gateway with a RabbitMQ of its own, under load, and prints a ledger. The exit code is 1 if a
message was lost, doubled or not delivered, or a fault was not reported or cleared within 10 seconds.

--seed N         the number of workers and the faults follow from it; random if absent
--minutes M      how long faults begin (5)
--seconds S      the same in seconds
--faults A,B     only these, of: ${FAULT_KINDS.join(', ')}
--cluster        three gateways behind nginx, three nodes of RabbitMQ, and PostgreSQL with a standby; faults come in rounds
--rounds N       with --cluster: how many (100)
--old PROGRAM    with --cluster: a gateway of an older version, which the gateways start with and a rolling upgrade alternates
                 with; if its schema version is lower, only the first one, since it does not start on newer tables
                 faults of a cluster: ${CLUSTER_KINDS.join(', ')}
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    minutes: { type: 'string', default: '5' },
    seconds: { type: 'string' },
    faults: { type: 'string' },
    cluster: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '100' },
    old: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const seconds = values.seconds === undefined ? Number(values.minutes) * 60 : Number(values.seconds)
const rounds = Number(values.rounds)
const all: readonly string[] = values.cluster ? CLUSTER_KINDS : FAULT_KINDS
const kinds = values.faults?.split(',') ?? (values.cluster ? CLUSTER_KINDS : possibleKinds(true))
const seed = Number(values.seed)
const isUsable = seconds > 0 && Number.isInteger(seed) && rounds > 0 && kinds.every((kind) => all.includes(kind))
if (values.help || !isUsable) {
  process.stdout.write(USAGE)
  process.exit(values.help ? 0 : 2)
}
await provision('rabbitmq')
await provision('pika')
if (values.cluster) for (const need of ['postgres', 'nginx'] as const) await provision(need)
await ensureWebBundle()
const left = all.filter((kind) => !kinds.includes(kind))
const length = values.cluster ? `${rounds} rounds` : `${seconds} s`
process.stdout.write(`seed ${seed}, ${length}${left.length === 0 ? '' : `, without ${left.join(', ')}`}\n`)
const onRound = (round: Round): void => void process.stdout.write(`${renderRound(round)}\n`)
const common = { seed, everyMs: 10, entry: await bundleProgram(), onRound }
const ledger = await (values.cluster
  ? playRounds({
      ...{ ...common, rounds, kinds: kinds as ClusterFaultKind[] },
      ...(values.old === undefined ? {} : { old: values.old }),
    })
  : soak({ ...common, seconds, kinds: kinds as FaultKind[], ownBroker: true }))
process.stdout.write(`\n${renderLedger(ledger)}\n`)
process.exit(isClean(ledger) ? 0 : 1)
