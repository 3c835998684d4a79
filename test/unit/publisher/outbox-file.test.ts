import { mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { PublishError } from '../../../src/publisher/errors.ts'
import { type OutboxEntry, OutboxFile } from '../../../src/publisher/outbox-file.ts'
import { suite } from '../../support/harness/suite.ts'
import { fastDir } from '../../support/servers/fast-dir.ts'

const test = suite('the file of an outbox')

const entry = (seq: number): OutboxEntry => ({
  seq,
  message: { event_id: 'e', message_id: `m${seq}`, routingKey: 'k', body: Buffer.from('{}') },
})

/** Commits messages. @returns 'stored', or the error's code and what it says of the messages */
const commit = (file: OutboxFile, added: readonly OutboxEntry[]): string => {
  try {
    file.commit({ added, confirmed: [], refused: [] })
    return 'stored'
  } catch (error) {
    return `${(error as PublishError).code} ${(error as PublishError).deliveryStatus}`
  }
}

test('behind a symbolic link is used as itself, whether it exists or not', () => {
  const real = join(fastDir(), 'real')
  mkdirSync(real)
  const link = join(fastDir(), 'link.db')
  symlinkSync(join(real, 'outbox.db'), link)
  for (const seqs of [
    [1, 2],
    [3, 4],
  ]) {
    const file = new OutboxFile(link)
    assert.equal(
      seqs.map((seq) => commit(file, [entry(seq)])),
      ['stored', 'stored'],
    )
    assert.is(file.queuedRows().length, seqs[1])
    file.close()
  }
  assert.is(statSync(join(real, 'outbox.db')).mode & 0o777, 0o600)
})

test('tells a loss before the commit from one that is found after it', () => {
  const path = join(fastDir(), 'outbox.db')
  const file = new OutboxFile(path)
  assert.is(commit(file, [entry(1)]), 'stored')
  // Read within the transaction.
  const added = [entry(2)]
  added[Symbol.iterator] = function* (this: OutboxEntry[]) {
    yield this[0]!
    rmSync(`${path}-wal`)
  } as (typeof added)[typeof Symbol.iterator]
  assert.is(commit(file, added), 'outbox_replaced unknown')
  assert.is(commit(file, [entry(3)]), 'outbox_replaced not_sent')
  file.close()
})

test.run()
