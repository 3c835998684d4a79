import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { StreamChannel } from '../../../src/streams/channel.ts'
import { ReplayBuffer } from '../../../src/streams/replay-buffer.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

const MOST = 4_096

/** Creates a frame of this size whose bytes encode its id. */
const frameOf = (id: number, size: number): Buffer => Buffer.alloc(Math.max(1, size), `<${id}>`)

const operation = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('append' as const),
      gap: fc.integer({ min: 0, max: 3 }),
      size: fc.integer({ min: 1, max: 900 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('append' as const),
      gap: fc.constant(1),
      size: fc.integer({ min: MOST / 2, max: 2 * MOST }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('after' as const), back: fc.integer({ min: -3, max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('clear' as const) }) },
)

const slabs = suite('the slab')

slabs(
  'hands out exactly the frames behind a cursor, never changes what it handed out, and stays within its memory',
  () => {
    fc.assert(
      fc.property(fc.nat({ max: 100 }), fc.array(operation, { maxLength: 120, size: 'max' }), (from, operations) => {
        const slab = new ReplayBuffer(from, MOST)
        const all: { id: number; frame: Buffer }[] = []
        const handed: { bytes: Buffer; copy: Buffer }[] = []
        let last = from
        let largest = 0
        for (const one of operations) {
          if (one.op === 'clear') {
            slab.clear()
            assert.equal([slab.bytes, slab.startsAfter, slab.last, slab.framesAfter(last)], [0, last, last, null])
          } else if (one.op === 'append') {
            const id = last + one.gap
            const frame = frameOf(id, one.size)
            slab.append(id, frame)
            // A known id is skipped.
            if (one.gap > 0) all.push({ id, frame })
            if (one.gap > 0) largest = Math.max(largest, frame.length)
            last = id
          } else {
            const cursor = Math.max(slab.startsAfter, last - one.back)
            const expected = Buffer.concat(all.filter(({ id }) => id > cursor).map(({ frame }) => frame))
            const bytes = slab.framesAfter(cursor)
            assert.is(bytes?.toString('latin1') ?? '', expected.toString('latin1'), `after ${cursor}`)
            if (bytes !== null) handed.push({ bytes, copy: Buffer.from(bytes) })
          }
          assert.is(slab.last, last)
          assert.ok(slab.startsAfter <= last)
          assert.is(
            slab.frames,
            all.filter(({ id }) => id > slab.startsAfter).length,
            'whatever is behind `from` is there',
          )
          assert.ok(slab.bytes <= Math.max(MOST, MOST / 2 + largest), `${slab.bytes} bytes`)
          for (const { bytes, copy } of handed)
            assert.ok(bytes.equals(copy), 'bytes that a socket may hold are never written over')
        }
      }),
      { numRuns: runs(300, 1_500) },
    )
  },
)

slabs('an empty slab holds no memory', () => {
  const slab = new ReplayBuffer(7)
  assert.equal([slab.bytes, slab.frames, slab.startsAfter, slab.last, slab.framesAfter(7)], [0, 0, 7, 7, null])
})

slabs('starts small, and discards at most its oldest half', () => {
  const slab = new ReplayBuffer(0)
  slab.append(1, frameOf(1, 100))
  assert.ok(slab.bytes <= 4_096, `${slab.bytes} bytes for one frame`)
  for (let id = 2; id <= 5_000; id++) slab.append(id, frameOf(id, 200))
  assert.ok(slab.bytes <= 256 * 1024)
  assert.ok(slab.frames * 200 >= 100 * 1024, `${slab.frames} of the newest frames are kept`)
  assert.is(slab.startsAfter, 5_000 - slab.frames)
})

slabs('holds an SSE event that is larger than itself', () => {
  const slab = new ReplayBuffer(0, MOST)
  slab.append(1, frameOf(1, 100))
  slab.append(2, frameOf(2, 10 * MOST))
  assert.ok(slab.framesAfter(Math.max(1, slab.startsAfter))!.equals(frameOf(2, 10 * MOST)))
  slab.append(3, frameOf(3, 100))
  assert.ok(slab.framesAfter(2)!.equals(frameOf(3, 100)))
  assert.ok(slab.bytes <= MOST, 'and lets it go with the next')
})

slabs('a page of history is never cut', () => {
  const slab = new ReplayBuffer(0, Number.POSITIVE_INFINITY)
  for (let id = 1; id <= 2_000; id++) slab.append(id, frameOf(id, 1_000))
  assert.equal([slab.startsAfter, slab.frames, slab.framesAfter(0)!.length], [0, 2_000, 2_000_000])
})

slabs('an idle channel releases the memory of its slab', () => {
  const channel = new StreamChannel(createFilter(['e']), 0)
  channel.append(1, frameOf(1, 100_000))
  const now = performance.now()
  channel.trim(now + 9_000)
  assert.ok(channel.buffer.bytes >= 100_000)
  channel.append(2, frameOf(2, 100))
  channel.trim(now + 11_000)
  assert.equal([channel.buffer.bytes, channel.buffer.startsAfter, channel.buffer.last], [0, 2, 2])
})

slabs.run()
