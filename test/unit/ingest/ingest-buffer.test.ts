import * as assert from 'uvu/assert'
import { IngestBuffer } from '../../../src/ingest/ingest-buffer.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('ingest-buffer')

test('is full once its limit is reached, whatever the number of messages, and always takes one', () => {
  const buffer = new IngestBuffer(10_000)
  assert.is(buffer.full, null)
  buffer.add(1_000_000)
  assert.ok(buffer.full !== null)
  buffer.remove(1_000_000)
  assert.is(buffer.full, null)
  for (let n = 0; n < 9; n++) buffer.add(0)
  assert.is(buffer.full, null)
  buffer.add(0)
  assert.ok(buffer.full !== null, 'ten empty bodies have a size too')
})

test('lets reading go on when it is below its limit again', async () => {
  const buffer = new IngestBuffer(10_000)
  for (let n = 0; n < 3; n++) buffer.add(5_000)
  let resumed = 0
  const waiting = [buffer.full!, buffer.full!].map((full) => full.then(() => resumed++))
  buffer.remove(5_000)
  await null
  assert.is(resumed, 0)
  buffer.remove(5_000)
  await Promise.all(waiting)
  assert.is(resumed, 2)
  assert.is(buffer.full, null)
})

test.run()
