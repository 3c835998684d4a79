// needs: rabbitmq, pika
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { FULL, runs } from '../support/harness/tier.ts'
import { possibleKinds, soak } from '../support/resilience/soak.ts'
import { isClean, renderLedger, renderRound } from '../support/resilience/soak-ledger.ts'

const SECONDS = runs(12, 300)
/** Each run of the full tier has other faults. Those of the short one meet a gateway of one process. */
const SEED = runs(7, Math.floor(Math.random() * 1e6))

const test = suite('soak')

test(`random faults under load lose, double and hide nothing: seed ${SEED}`, async () => {
  const rounds: string[] = []
  const ledger = await soak({
    seed: SEED,
    seconds: SECONDS,
    kinds: possibleKinds(FULL),
    // A node of RabbitMQ takes ten seconds of processor for each start.
    ownBroker: FULL,
    everyMs: runs(30, 10),
    onRound: (round) => void rounds.push(renderRound(round)),
  })
  assert.ok(isClean(ledger), `\n${rounds.join('\n')}\n\n${renderLedger(ledger)}`)
  assert.ok(ledger.rounds.length > 0 && ledger.outcome.rows.length > 0, 'something was tried')
})

test.run()
