// full
// needs: rabbitmq, postgres, nginx, pika
import * as assert from 'uvu/assert'
import { CLUSTER_KINDS } from '../support/cluster/faults.ts'
import { playRounds } from '../support/cluster/rounds.ts'
import { suite } from '../support/harness/suite.ts'
import { isClean, renderLedger, renderRound } from '../support/resilience/soak-ledger.ts'

/** Each run has other faults; `npm run soak -- --cluster` plays a hundred rounds. */
const SEED = Math.floor(Math.random() * 1e6)
const ROUNDS = 8

const test = suite('a cluster')

test(`loses, doubles and hides nothing in ${ROUNDS} rounds of faults under load, on any host: seed ${SEED}`, async () => {
  const lines: string[] = []
  const ledger = await playRounds({
    ...{ seed: SEED, rounds: ROUNDS, kinds: CLUSTER_KINDS, everyMs: 10 },
    onRound: (round) => void lines.push(renderRound(round)),
  })
  assert.ok(isClean(ledger), `\n${lines.join('\n')}\n\n${renderLedger(ledger)}`)
  assert.is(ledger.rounds.length, ROUNDS)
})

test.run()
