import fc from 'fast-check'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { EdgeTrial, edgeOperation } from '../../support/stages/edge-trial.ts'

const property = suite('any interleaving')

property(
  'of appends, cuts, restarts, other stores and retention at a core and its edge gives readers that move between them their messages once and in order',
  () =>
    fc.assert(
      fc.asyncProperty(fc.array(edgeOperation, { minLength: 1, maxLength: 30, size: 'max' }), (operations) =>
        new EdgeTrial().run(operations),
      ),
      { numRuns: runs(15, 400) },
    ),
)

property.run()
