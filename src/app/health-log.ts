import type { Logger } from 'pino'
import type { HealthListener } from '../monitoring/health.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** Creates the listener that logs each change of a component once, and counts its failures. */
export const logHealthChanges =
  (logger: Logger, metrics: () => Metrics): HealthListener =>
  (component, fault) => {
    if (fault === null) logger.info({ component }, 'component recovered')
    else if (fault.code === 'shutting_down') logger.info('stopping')
    else {
      metrics().faults.inc({ code: fault.code })
      logger.warn({ component, code: fault.code, hint: fault.hint, cause: fault.message }, 'component failed')
    }
  }
