import * as assert from 'uvu/assert'

// The zone of the browser, before the first Date is made.
process.env.TZ = 'Asia/Shanghai'
const { ownTime } = await import('../../../src/web/page/room/model/own-time.ts')
const { suite } = await import('../../support/harness/suite.ts')

const at = (text: string): number => Date.parse(text)

/** Returns the time in UTC. */
const timeOf = (createdAt: unknown, received: string, isChat = false): string =>
  new Date(ownTime(createdAt, at(received), isChat)).toISOString()

const time = suite('the time of a message')

time('is its own with the zone that it names', () => {
  const received = '2026-11-22T10:00:05.000Z'
  for (const text of ['2026-11-22T10:00:00Z', '2026-11-22T18:00:00+08:00', '2026-11-22 05:00:00.000-0500']) {
    assert.is(timeOf(text, received), '2026-11-22T10:00:00.000Z', text)
  }
  assert.is(timeOf('2025-07-07T04:27:28Z', received), '2025-07-07T04:27:28.000Z', 'imported')
})

time('without a zone is in UTC or in that of the browser, whichever is just before the receipt', () => {
  assert.is(timeOf('2026-11-22T10:00:00', '2026-11-22T10:00:01.000Z'), '2026-11-22T10:00:00.000Z')
  assert.is(timeOf('2026-11-22T18:00:00', '2026-11-22T10:00:01.000Z'), '2026-11-22T10:00:00.000Z')
  assert.is(timeOf('2026-11-22T18:00:00.123456', '2026-11-22T10:00:01.000Z'), '2026-11-22T10:00:00.123Z')
  assert.is(timeOf('2026-11-22T10:00:30', '2026-11-22T10:00:01.000Z'), '2026-11-22T10:00:30.000Z', 'a clock ahead')
})

time('without a zone is right after an outage of hours', () => {
  assert.is(timeOf('2026-11-22T10:00:00', '2026-11-22T13:00:00.000Z'), '2026-11-22T10:00:00.000Z')
  assert.is(timeOf('2026-11-22T18:00:00', '2026-11-22T13:00:00.000Z'), '2026-11-22T10:00:00.000Z')
})

time('of an imported message is in the zone of the browser, as on DeepSOC’s page', () => {
  assert.is(timeOf('2025-07-07T12:27:28', '2026-11-22T10:00:00.000Z'), '2025-07-07T04:27:28.000Z')
})

time('of a chat is in UTC, also if it was imported', () => {
  assert.is(timeOf('2025-07-07T04:33:06', '2026-11-22T10:00:00.000Z', true), '2025-07-07T04:33:06.000Z')
  assert.is(timeOf('2025-07-07T12:33:06+08:00', '2026-11-22T10:00:00.000Z', true), '2025-07-07T04:33:06.000Z')
})

time('of a server further east is at most half an hour before the receipt', () => {
  assert.is(timeOf('2026-11-22T23:00:00', '2026-11-22T10:00:01.000Z'), '2026-11-22T10:00:00.000Z')
})

time('is that of the receipt if there is no other, or an impossible one', () => {
  const received = '2026-11-22T10:00:00.000Z'
  const bad = [undefined, null, 7, '', 'now', '2026-11-22', '2026-13-45T99:00:00Z', '9999-01-01T00:00:00Z']
  for (const one of [...bad, '0001-01-01T00:00:00', '1970-01-01T00:00:00Z', '2026-11-22T10:03:00Z']) {
    assert.is(timeOf(one, received), received, String(one))
  }
})

time.run()
