import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { StreamChannel } from '../../../src/streams/channel.ts'
import { ReplayBuffer, type ReplayMemory } from '../../../src/streams/replay-buffer.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

const MOST = 4_096

/** Creates a frame of this size whose bytes encode its id. */
const frameOf = (id: number, size: number): Buffer => Buffer.alloc(Math.max(1, size), `<${id}>`)

/** Returns everything after a cursor, in the pieces in which it is handed out. */
const piecesAfter = (buffer: ReplayBuffer, cursor: number): Buffer[] => {
  const pieces: Buffer[] = []
  for (let next = buffer.framesAfter(cursor); next !== null; next = buffer.framesAfter(next.through)) {
    pieces.push(next.bytes)
  }
  return pieces
}

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

const replayBuffers = suite('the replay buffer')

replayBuffers(
  'hands out exactly the frames behind a cursor, never changes what it handed out, and stays within its memory',
  () => {
    fc.assert(
      fc.property(fc.nat({ max: 100 }), fc.array(operation, { maxLength: 120, size: 'max' }), (from, operations) => {
        const buffer = new ReplayBuffer(from, MOST)
        const all: { id: number; frame: Buffer }[] = []
        const handed: { bytes: Buffer; copy: Buffer }[] = []
        let last = from
        for (const one of operations) {
          if (one.op === 'clear') {
            buffer.clear()
            assert.equal(
              [buffer.bytes, buffer.startsAfter, buffer.last, buffer.framesAfter(last)],
              [0, last, last, null],
            )
          } else if (one.op === 'append') {
            const id = last + one.gap
            const frame = frameOf(id, one.size)
            buffer.append(id, frame)
            // A known id is skipped.
            if (one.gap > 0) all.push({ id, frame })
            last = id
          } else {
            const cursor = Math.max(buffer.startsAfter, last - one.back)
            const expected = Buffer.concat(all.filter(({ id }) => id > cursor).map(({ frame }) => frame))
            const pieces = piecesAfter(buffer, cursor)
            assert.is(Buffer.concat(pieces).toString('latin1'), expected.toString('latin1'), `after ${cursor}`)
            for (const bytes of pieces) handed.push({ bytes, copy: Buffer.from(bytes) })
          }
          assert.is(buffer.last, last)
          assert.ok(buffer.startsAfter <= last)
          assert.is(
            buffer.frames,
            all.filter(({ id }) => id > buffer.startsAfter).length,
            'whatever is behind `from` is there',
          )
          assert.ok(buffer.bytes <= 1.5 * MOST, `${buffer.bytes} bytes`)
          for (const { bytes, copy } of handed)
            assert.ok(bytes.equals(copy), 'bytes that a socket may hold are never written over')
        }
      }),
      { numRuns: runs(300, 1_500) },
    )
  },
)

replayBuffers('an empty buffer holds no memory', () => {
  const buffer = new ReplayBuffer(7)
  assert.equal(
    [buffer.bytes, buffer.frames, buffer.startsAfter, buffer.last, buffer.framesAfter(7)],
    [0, 0, 7, 7, null],
  )
})

replayBuffers('starts small, and discards at most its oldest half', () => {
  const buffer = new ReplayBuffer(0)
  buffer.append(1, frameOf(1, 100))
  assert.ok(buffer.bytes <= 4_096, `${buffer.bytes} bytes for one frame`)
  for (let id = 2; id <= 5_000; id++) buffer.append(id, frameOf(id, 200))
  assert.ok(buffer.bytes <= 256 * 1024)
  assert.ok(buffer.frames * 200 >= 100 * 1024, `${buffer.frames} of the newest frames are kept`)
  assert.is(buffer.startsAfter, 5_000 - buffer.frames)
})

replayBuffers('hands out an SSE event that is larger than itself without a copy', () => {
  const buffer = new ReplayBuffer(0, MOST)
  const large = frameOf(2, 10 * MOST)
  buffer.append(1, frameOf(1, 100))
  buffer.append(2, large)
  assert.equal(piecesAfter(buffer, 0), [frameOf(1, 100), large])
  assert.is(buffer.framesAfter(1)!.bytes, large, 'all channels share its bytes')
  assert.ok(buffer.bytes <= MOST, `${buffer.bytes} bytes`)
  buffer.append(3, frameOf(3, 100))
  assert.equal([buffer.startsAfter, ...piecesAfter(buffer, 2)], [2, frameOf(3, 100)])
  buffer.append(4, large)
  buffer.releaseLarge()
  assert.equal([buffer.bytes, buffer.frames, buffer.startsAfter, buffer.last], [0, 0, 4, 4])
})

replayBuffers('the buffers of all channels together stay within their memory, and still have the newest event', () => {
  const memory: ReplayMemory = { bytes: 0 }
  const buffers = Array.from({ length: 1_000 }, () => new ReplayBuffer(0, undefined, memory))
  for (let id = 1; id <= 4; id++) {
    const frame = frameOf(id, 60_000)
    for (const buffer of buffers) {
      buffer.append(id, frame)
      assert.is(buffer.framesAfter(id - 1)!.bytes.length, frame.length)
    }
  }
  const sum = buffers.reduce((bytes, buffer) => bytes + buffer.bytes, 0)
  assert.is(memory.bytes, sum)
  assert.ok(sum <= 65 * 1024 * 1024, `${sum} bytes`)
  for (const buffer of buffers) buffer.clear()
  assert.is(memory.bytes, 0)
})

replayBuffers('a page of history is never cut', () => {
  const buffer = new ReplayBuffer(0, Number.POSITIVE_INFINITY)
  for (let id = 1; id <= 2_000; id++) buffer.append(id, frameOf(id, 1_000))
  assert.equal([buffer.startsAfter, buffer.frames, buffer.framesAfter(0)!.bytes.length], [0, 2_000, 2_000_000])
})

replayBuffers('an idle channel releases the memory of its buffer', () => {
  const channel = new StreamChannel(createFilter(['e']), 0, { bytes: 0 })
  channel.append(1, frameOf(1, 100_000))
  const now = performance.now()
  channel.trim(now + 9_000)
  assert.ok(channel.buffer.bytes >= 100_000)
  channel.append(2, frameOf(2, 100))
  channel.trim(now + 11_000)
  assert.equal([channel.buffer.bytes, channel.buffer.startsAfter, channel.buffer.last], [0, 2, 2])
})

replayBuffers.run()
