import * as assert from 'uvu/assert'
import { ServerMonitor, type ServerMonitorOptions } from '../../../src/store/postgres/server/server-monitor.ts'
import { Clock } from '../../support/harness/clock.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('a check of PostgreSQL')

test('does not wait twice for a server that is silent: what the first connection took is not waited on the second', async () => {
  const clock = new Clock().install()
  const timeouts: number[] = []
  // Another query has waited longer on the connection of the listener, and ends it.
  const listener = {
    query: async () => {
      clock.advance(3_000)
      return null
    },
  }
  const reading = {
    withConnection: async (_use: unknown, maxMs: number) => {
      timeouts.push(maxMs)
      return { rows: [] }
    },
  }
  try {
    const options = { listener, reading, writing: reading, schema: 's', onWarning: () => {} }
    await new ServerMonitor(options as unknown as ServerMonitorOptions).query('SELECT', [])
    assert.equal(timeouts, [1_000])
  } finally {
    clock.uninstall()
  }
})

test.run()
