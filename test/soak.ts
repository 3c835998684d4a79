/**
 * Injects random faults into a gateway under load, for as long as requested, and checks that nothing is lost.
 * `npm run soak -- --help` describes it.
 */
import { parseArgs } from 'node:util'
import { ensureWebBundle } from '../src/http/web-assets.ts'
import { bundleProgram } from './support/harness/bundle.ts'
import { provision } from './support/harness/provision.ts'
import { possibleKinds, soak } from './support/resilience/soak.ts'
import { FAULT_KINDS, type FaultKind } from './support/resilience/soak-faults.ts'
import { isClean, renderLedger, renderRound } from './support/resilience/soak-ledger.ts'

const USAGE = `npm run soak -- [options]

Injects random faults into a gateway with a RabbitMQ of its own, under load, and prints a ledger. The exit code is 1 if a
message was lost, doubled or not delivered, or a fault was not reported or cleared within 10 seconds.

--seed N         the number of workers and the faults follow from it; random if absent
--minutes M      how long faults begin (5)
--seconds S      the same in seconds
--faults A,B     only these, of: ${FAULT_KINDS.join(', ')}
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    minutes: { type: 'string', default: '5' },
    seconds: { type: 'string' },
    faults: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const seconds = values.seconds === undefined ? Number(values.minutes) * 60 : Number(values.seconds)
const kinds = (values.faults?.split(',') ?? possibleKinds(true)) as FaultKind[]
const unknown = kinds.filter((kind) => !FAULT_KINDS.includes(kind))
const seed = Number(values.seed)
if (values.help || !(seconds > 0) || !Number.isInteger(seed) || unknown.length > 0) {
  process.stdout.write(USAGE)
  process.exit(values.help ? 0 : 2)
}
await provision('rabbitmq')
await provision('pika')
await ensureWebBundle()
const left = FAULT_KINDS.filter((kind) => !kinds.includes(kind))
process.stdout.write(`seed ${seed}, ${seconds} s${left.length === 0 ? '' : `, without ${left.join(', ')}`}\n`)
const ledger = await soak({
  ...{ seed, seconds, kinds, ownBroker: true, everyMs: 10 },
  entry: await bundleProgram(),
  onRound: (round) => void process.stdout.write(`${renderRound(round)}\n`),
})
process.stdout.write(`\n${renderLedger(ledger)}\n`)
process.exit(isClean(ledger) ? 0 : 1)
