import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { RetentionJob } from '../../../src/store/retention.ts'
import type { EventSummary, MessageStore, RetentionLimits } from '../../../src/store/store.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the retention job')

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const NOON = Date.UTC(2026, 0, 1, 12)

test.before(() => mock.timers.enable({ apis: ['setInterval'] }))
test.after(() => mock.timers.reset())

/**
 * A job over a store with clocks that the test sets, whose newest message is a minute old.
 *
 * @param events replaces the store's list of events
 * @param chunks messages that the first calls of `prune` delete; `onChunk` is called in each
 */
const startJob = async ({
  newestAt = NOON - MINUTE,
  events = async () => [{ last_at: newestAt } as EventSummary],
  chunks = [] as number[],
  onChunk = (_clock: { wall: number }): void => undefined,
} = {}) => {
  const clock = { wall: NOON, monotonic: 0 }
  const limits: RetentionLimits[] = []
  const warnings: string[] = []
  const faults: string[] = []
  const log = {
    events,
    prune: async (retention: RetentionLimits) => {
      limits.push(retention)
      onChunk(clock)
      return chunks.shift() ?? 0
    },
  } as unknown as MessageStore
  const job = new RetentionJob({
    store: log,
    maxAgeMs: DAY,
    messagesPerEvent: 10,
    onPruned: () => undefined,
    onClockJump: (reason) => warnings.push(reason),
    onFault: (error) => void faults.push(String(error)),
    now: () => clock.wall,
    monotonicNow: () => clock.monotonic,
  })
  const settled = async () => {
    for (let n = 0; n < 10; n++) await null
  }
  job.start()
  await settled()
  return {
    job,
    warnings,
    limits,
    faults,
    /** Lets both clocks run, the wall clock further by a jump. @returns the limits of the next run */
    next: async (ms: number, jump = 0): Promise<RetentionLimits> => {
      clock.wall += ms + jump
      clock.monotonic += ms
      mock.timers.tick(MINUTE)
      await settled()
      return limits.at(-1)!
    },
    first: limits[0]!,
  }
}

test('deletes by age while the clock runs as it should', async () => {
  const { job, first, next, warnings } = await startJob()
  assert.is(first.receivedBefore, NOON - DAY)
  assert.is((await next(MINUTE)).receivedBefore, NOON - DAY + MINUTE)
  assert.equal(warnings, [])
  await job.stop()
})

test('deletes nothing by age for a day after the clock has jumped forward, and goes on by count', async () => {
  const { job, next, warnings } = await startJob()
  assert.equal(await next(MINUTE, 25 * HOUR), { receivedBefore: null, messagesPerEvent: 10 })
  assert.equal(warnings, ['the clock has jumped forward by 1500 minutes'])
  assert.is((await next(23 * HOUR)).receivedBefore, null)
  assert.is((await next(HOUR)).receivedBefore, NOON + MINUTE + 25 * HOUR)
  assert.is(warnings.length, 1)
  await job.stop()
})

test('trusts a clock that is set back, and one that drifts', async () => {
  const { job, next, warnings } = await startJob()
  assert.ok((await next(MINUTE, -HOUR)).receivedBefore !== null)
  assert.ok((await next(MINUTE, 4 * MINUTE)).receivedBefore !== null)
  assert.equal(warnings, [])
  await job.stop()
})

test('deletes nothing by age for a day if at the start even the newest message has expired', async () => {
  const { job, first, next, warnings } = await startJob({ newestAt: NOON - 25 * HOUR })
  assert.is(first.receivedBefore, null)
  assert.equal(warnings, ['by the clock, the newest message is from 2025-12-31T11:00:00.000Z'])
  assert.ok((await next(DAY)).receivedBefore !== null)
  await job.stop()
})

test('checks the clock by the store again if the store could not be read at the start', async () => {
  let reads = 0
  const events = async () => {
    if (++reads === 1) throw new Error('busy')
    return [{ last_at: NOON - 25 * HOUR } as EventSummary]
  }
  const { job, next, limits, faults } = await startJob({ events })
  assert.equal([limits, faults], [[], ['Error: busy']])
  for (const run of [1, 2]) assert.is((await next(MINUTE)).receivedBefore, null, `run ${run}`)
  assert.ok((await next(DAY)).receivedBefore !== null)
  await job.stop()
})

test('deletes by the time at the start of a run, even if the clock jumps during the run', async () => {
  const onChunk = (clock: { wall: number }) => {
    clock.wall += 25 * HOUR
  }
  const { job, limits, next } = await startJob({ chunks: [5, 5], onChunk })
  assert.equal(
    limits.map(({ receivedBefore }) => receivedBefore),
    [NOON - DAY, NOON - DAY, NOON - DAY],
  )
  assert.is((await next(MINUTE)).receivedBefore, null)
  await job.stop()
})

test.run()
