import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { decodeFieldTable } from '../../../src/amqp/field-table.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

const test = suite('amqp-table')

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Encodes a field: name, type, and bytes of its value. */
const field = (name: string, type: string, value: Buffer | number[] = []): Buffer => {
  const text = Buffer.from(name)
  return Buffer.concat([Buffer.from([text.length]), text, Buffer.from(type), Buffer.from(value)])
}

const long = (name: string, type: string, content: Buffer): Buffer =>
  field(name, type, Buffer.concat([uint32(content.length), content]))

const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

const one = (bytes: Buffer): unknown => decodeFieldTable(bytes).a

test('an empty table has no fields', () => {
  assert.equal(decodeFieldTable(Buffer.alloc(0)), {})
})

test('every field type of RabbitMQ is read', () => {
  const types: [string, number[] | Buffer, unknown][] = [
    ['t', [1], true],
    ['t', [0], false],
    ['b', [0xff], -1],
    ['B', [0xff], 255],
    ['s', [0xff, 0xfe], -2],
    ['U', [0xff, 0xfe], -2],
    ['u', [0xff, 0xfe], 65_534],
    ['I', [0xff, 0xff, 0xff, 0xff], -1],
    ['i', [0xff, 0xff, 0xff, 0xff], 4_294_967_295],
    ['l', int64(-5n), -5],
    ['L', int64(2n ** 31n), 2_147_483_648],
    ['T', int64(1_783_900_800n), 1_783_900_800],
    ['f', [0x3f, 0xc0, 0, 0], 1.5],
    ['d', [0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 1.5],
    ['D', [2, 0, 0, 0x30, 0x39], '12345e-2'],
    ['V', [], null],
  ]
  for (const [type, bytes, expected] of types) assert.equal(one(field('a', type, bytes)), expected, type)
  assert.is(one(long('a', 'S', Buffer.from('中文'))), '中文')
  assert.is(one(long('a', 'x', Buffer.from([0, 255]))), 'AP8=')
})

test('integers that a double cannot hold become text, digit for digit', () => {
  for (const type of ['l', 'L']) {
    assert.is(one(field('a', type, int64(9_007_199_254_740_993n))), '9007199254740993')
    assert.is(one(field('a', type, int64(-(2n ** 63n)))), '-9223372036854775808')
    assert.is(one(field('a', type, int64(9_007_199_254_740_991n))), Number.MAX_SAFE_INTEGER)
  }
  assert.is(one(field('a', 'T', int64(-1n))), '18446744073709551615')
})

test('numbers that JSON does not have become text', () => {
  assert.is(one(field('a', 'd', [0x7f, 0xf8, 0, 0, 0, 0, 0, 0])), 'NaN')
  assert.is(one(field('a', 'f', [0xff, 0x80, 0, 0])), '-Infinity')
})

test('tables and arrays are read inside each other, and the field after them too', () => {
  const items = Buffer.concat([
    Buffer.from('t\x01', 'latin1'),
    Buffer.from('V'),
    long('', 'F', field('x', 'B', [7])).subarray(1),
  ])
  const bytes = Buffer.concat([long('a', 'F', long('b', 'A', items)), field('z', 't', [1])])
  assert.equal(decodeFieldTable(bytes), { a: { b: [true, null, { x: 7 }] }, z: true })
})

test('a name of a prototype is a field like any other', () => {
  const fields = decodeFieldTable(Buffer.concat([field('__proto__', 'B', [1]), field('constructor', 'B', [2])]))
  assert.is(JSON.stringify(fields), '{"__proto__":1,"constructor":2}')
  assert.is(Object.getPrototypeOf(fields), Object.prototype)
})

test('an unknown type and a truncated table lose the headers, with a reason', () => {
  assert.match(String(decodeFieldTable(field('a', '?', [1, 2])).undecodable), 'unknown field type "?"')
  const whole = Buffer.concat([
    field('n', 'I', [0, 0, 0, 1]),
    long('s', 'S', Buffer.from('text')),
    long('t', 'F', field('x', 'l', int64(1n))),
  ])
  const borders = [0, 7, 7 + 2 + 1 + 4 + 4]
  for (let length = 0; length < whole.length; length++) {
    const { undecodable } = decodeFieldTable(whole.subarray(0, length))
    assert.is(undecodable === undefined, borders.includes(length), `cut at ${length}`)
  }
  assert.equal(decodeFieldTable(whole), { n: 1, s: 'text', t: { x: 1 } })
})

test('unlimited nesting is rejected, not followed', () => {
  let deep = field('x', 't', [1])
  for (let level = 0; level < 10_000; level++) deep = long('x', 'F', deep)
  assert.match(String(decodeFieldTable(deep).undecodable), 'nested too deeply')
})

test('no bytes make it throw, and its result is JSON', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.type(JSON.stringify(decodeFieldTable(Buffer.from(bytes))), 'string')
    }),
    { numRuns: runs(100, 2_000) },
  )
  // Plausible types and lengths reach more code than random bytes.
  const type = fc.constantFrom(...'tbBsUuIilLTfdDVSxAF')
  const value = fc.uint8Array({ maxLength: 24 }).map((bytes) => Buffer.from(bytes))
  const fields = fc.array(
    fc
      .tuple(type, value)
      .map(([kind, bytes]) => ('SxAF'.includes(kind) ? long('k', kind, bytes) : field('k', kind, bytes))),
    { maxLength: 6 },
  )
  fc.assert(
    fc.property(fields, (parts) => {
      assert.type(JSON.stringify(decodeFieldTable(Buffer.concat(parts))), 'string')
    }),
    { numRuns: runs(100, 5_000) },
  )
})

test.run()
