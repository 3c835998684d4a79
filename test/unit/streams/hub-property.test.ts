import fc from 'fast-check'
import { Clock } from '../../support/harness/clock.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'
import { LiveTrial, liveOperation } from '../../support/stages/live-trial.ts'
import { openSqlite } from '../../support/store/sqlite-store.ts'

const property = suite('any interleaving')

property(
  'of appends, readers, slow sockets, faults and ticks gives each reader its messages once and in order',
  async () => {
    // One store for all runs, with separate names for each.
    const log = await openSqlite(`${fastDir()}/gateway.db`, true)
    const clock = new Clock().install()
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(liveOperation, { minLength: 1, maxLength: 40, size: 'max' }), (operations) =>
          new LiveTrial(log, clock).run(operations),
        ),
        { numRuns: runs(150, 3_000) },
      )
    } finally {
      clock.uninstall()
      await log.stop()
    }
  },
)

property.run()
