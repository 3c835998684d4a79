import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { MessageId } from '../../../src/core/message.ts'
import { createUuidV7Generator, uuidv7 } from '../../../src/core/uuid.ts'
import { suite } from '../../support/harness/suite.ts'

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const digits = () => randomBytes(10).toString('hex')

const uuids = suite('UUIDs')

uuids('has the layout of RFC 9562', () => {
  // The RFC's own example of version 7, its random bits with the version and variant bits taken out.
  assert.is(uuidv7(0x017f22e279b0, '0cc318c4dc0c0c07398f'), '017f22e2-79b0-7cc3-98c4-dc0c0c07398f')
})

uuids('has version 7 and the variant of the RFC, whatever the random bytes', () => {
  const bytes = fc.uint8Array({ minLength: 10, maxLength: 10 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), bytes, (now, random) => {
      const id = uuidv7(now, Buffer.from(random).toString('hex'))
      assert.match(id, FORM)
      assert.is(Number.parseInt(id.replace('-', '').slice(0, 12), 16), now)
      assert.ok(MessageId.safeParse(id).success)
    }),
  )
})

uuids('takes the random bits of an id from no other id', () => {
  let next = 0
  // Every digit of the source differs from that of its neighbours, so an overlap of two ids would show.
  const source = (count: number) => Buffer.from(Array.from({ length: count }, () => next++ & 0xff))
  const makeId = createUuidV7Generator(source)
  const bits = Array.from({ length: 1_000 }, () => makeId(0).replaceAll('-', '').slice(-12))
  for (const [index, own] of bits.entries()) {
    const expected = Buffer.from([4, 5, 6, 7, 8, 9].map((byte) => (index * 10 + byte) & 0xff)).toString('hex')
    assert.is(own, expected)
  }
})

uuids('uses every random bit', () => {
  const seen = new Set<string>()
  for (let bit = 0; bit < 80; bit++) {
    const random = Buffer.alloc(10)
    random[bit >> 3] = 1 << (bit & 7)
    seen.add(uuidv7(0, random.toString('hex')))
  }
  // 80 bits less 4 under the version and 2 under the variant, which all give the id of no bits at all.
  assert.is(seen.size, 80 - 6 + 1)
})

uuids('sorts by time', () => {
  const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })
  fc.assert(
    fc.property(time, time, (a, b) => {
      if (a !== b) assert.is(uuidv7(a, digits()) < uuidv7(b, digits()), a < b)
    }),
  )
})

uuids('is unique within one millisecond', () => {
  const makeId = createUuidV7Generator(randomBytes)
  const ids = new Set(Array.from({ length: 10_000 }, () => makeId(1)))
  assert.is(ids.size, 10_000)
})

uuids.run()
