import { randomUUID } from 'node:crypto'
import { Gateway } from '../../../src/app/gateway.ts'
import { runGateway } from '../../../src/app/serve.ts'
import { loadConfig } from '../../../src/config/config.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { createLogger } from '../../../src/telemetry/logger.ts'

/**
 * A gateway that kills itself with SIGKILL. FAILPOINT_STAGE is the place (`in_transaction`, or `committed`, which is
 * before the acknowledgement), FAILPOINT_NTH the number of the transaction. Without FAILPOINT_STAGE it is a normal
 * gateway.
 */
const { FAILPOINT_STAGE: wanted, FAILPOINT_NTH: nth = '1' } = process.env

let left = Number(nth)
const config = loadConfig()
const logger = await createLogger(config.logLevel)
const log = new SqliteStore({
  file: config.databaseFile,
  newLogId: randomUUID(),
  now: Date.now(),
  inlineWriter: {
    onStage: (stage) => {
      if (stage !== wanted || --left > 0) return
      process.kill(process.pid, 'SIGKILL')
      // The signal ends the process before this does.
      for (;;);
    },
  },
})
const gateway = new Gateway({ config, logger, version: '0.0.0', store: log })
process.exit(await runGateway(gateway, config, logger))
