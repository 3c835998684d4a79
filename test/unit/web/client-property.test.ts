import fc from 'fast-check'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { ClientTrial, clientOperation } from '../../support/stages/client-trial.ts'

const property = suite('any failure of gateway, connection, clock and tabs')

const numRuns = runs(150, 5_000)

const operations = fc.array(clientOperation, { minLength: 1, maxLength: 60, size: 'max' })

property('each tab gets each message once and in order, by one connection for all', async () => {
  await fc.assert(
    fc.asyncProperty(operations, fc.nat(), (run, seed) => new ClientTrial(seed, true).run(run)),
    { numRuns },
  )
})

property('so it does if tabs cannot share', async () => {
  await fc.assert(
    fc.asyncProperty(operations, fc.nat(), (run, seed) => new ClientTrial(seed, false).run(run)),
    { numRuns },
  )
})

property.run()
