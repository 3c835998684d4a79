// limit: 300s
import fc from 'fast-check'
import { suite } from '../../support/harness/suite.ts'
import { ClientTrial, clientOperation } from '../../support/stages/client-trial.ts'

const property = suite('whatever happens to gateway, line, clock and tabs', { timeoutMs: 280_000 })

const numRuns = process.env.TEST_LONG ? 5_000 : 300

const operations = fc.array(clientOperation, { minLength: 1, maxLength: 60, size: 'max' })

property('each tab gets each message once and in order, by one connection for all', async () => {
  await fc.assert(
    fc.asyncProperty(operations, fc.nat(), (run, seed) => new ClientTrial(seed, true).run(run)),
    { numRuns },
  )
})

property('so it does where tabs cannot share', async () => {
  await fc.assert(
    fc.asyncProperty(operations, fc.nat(), (run, seed) => new ClientTrial(seed, false).run(run)),
    { numRuns },
  )
})

property.run()
