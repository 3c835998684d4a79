import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { MessageId } from '../src/message/message.ts'
import { uuidv7 } from '../src/message/uuid.ts'
import { suite } from './support/suite.ts'

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const uuids = suite('UUIDs')

uuids('has the layout of RFC 9562', () => {
  // The RFC's own example of version 7, its random bits with the version and variant bits taken out.
  const random = Buffer.from('0cc318c4dc0c0c07398f', 'hex')
  assert.is(uuidv7(0x017f22e279b0, random), '017f22e2-79b0-7cc3-98c4-dc0c0c07398f')
})

uuids('has version 7 and the variant of the RFC, whatever the random bytes', () => {
  const bytes = fc.uint8Array({ minLength: 10, maxLength: 16 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), bytes, (now, random) => {
      const id = uuidv7(now, random)
      assert.match(id, FORM)
      assert.is(Number.parseInt(id.replace('-', '').slice(0, 12), 16), now)
      assert.ok(MessageId.safeParse(id).success)
    }),
  )
})

uuids('reads a view into a larger buffer at its place', () => {
  const large = randomBytes(64)
  assert.is(uuidv7(1, large.subarray(20, 30)), uuidv7(1, Buffer.from(large.subarray(20, 30))))
  assert.is.not(uuidv7(1, large.subarray(20, 30)), uuidv7(1, large.subarray(30, 40)))
})

uuids('uses every random bit', () => {
  const seen = new Set<string>()
  for (let bit = 0; bit < 80; bit++) {
    const random = Buffer.alloc(10)
    random[bit >> 3] = 1 << (bit & 7)
    seen.add(uuidv7(0, random))
  }
  // 80 bits less 4 under the version and 2 under the variant, which all give the id of no bits at all.
  assert.is(seen.size, 80 - 6 + 1)
})

uuids('sorts by time', () => {
  const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })
  fc.assert(
    fc.property(time, time, (a, b) => {
      if (a !== b) assert.is(uuidv7(a, randomBytes(10)) < uuidv7(b, randomBytes(10)), a < b)
    }),
  )
})

uuids('is unique within one millisecond', () => {
  const ids = new Set(Array.from({ length: 10_000 }, () => uuidv7(1, randomBytes(10))))
  assert.is(ids.size, 10_000)
})

uuids.run()
