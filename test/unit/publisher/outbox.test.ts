import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as assert from 'uvu/assert'
import type { PublishError } from '../../../src/publisher/index.ts'
import { Outbox } from '../../../src/publisher/outbox.ts'
import { OutboxFile } from '../../../src/publisher/outbox-file.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir, until } from '../../support/harness/wait.ts'

const test = suite('outbox-queue')

const noop = (): void => {}

test('an event whose message cannot be read waits by itself, and is read again once for each pause', async () => {
  const path = join(tempDir('gateway-outbox-'), 'agent.db')
  new OutboxFile(path).close()
  const db = new Database(path)
  // Instead of a damaged page, which the check at the start would find: a body that is a number.
  db.exec(`INSERT INTO outbox VALUES (1, 'bad', 'b', 'k', 5), (2, 'good', 'g', 'k', CAST('{}' AS BLOB))`)
  db.close()
  const errors: (PublishError | null)[] = []
  let wakes = 0
  const outbox = new Outbox({
    path,
    maxQueued: 100,
    maxQueuedBytes: 1e6,
    onIdle: noop,
    onReady: () => wakes++,
    onError: (error) => errors.push(error),
    onRefused: noop,
  })
  const good = outbox.next()
  assert.is(good?.message_id, 'g')
  for (let n = 0; n < 200; n++) assert.is(outbox.next(), null)
  assert.is(errors.length, 1)
  outbox.confirmed(good!)
  await until(() => wakes > 0, { what: 'the end of the pause' })
  for (let n = 0; n < 200; n++) assert.is(outbox.next(), null)
  assert.equal([errors.length, errors[1]?.code, outbox.queued, wakes], [2, 'outbox_unwritable', 1, 1])
  outbox.close()
})

test.run()
