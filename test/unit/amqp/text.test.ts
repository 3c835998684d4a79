import * as assert from 'uvu/assert'
import { decodeText } from '../../../src/amqp/text.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('amqp-text')

const decoded = (bytes: Buffer): string => decodeText(bytes, 0, bytes.length)

test('UTF-8 is decoded as it is, a published replacement character included', () => {
  for (const text of ['', 'ab-1', '消息 é', 'a\uFFFDb', '\uFFFD']) assert.is(decoded(Buffer.from(text)), text)
})

test('bytes that are not UTF-8 never make two texts one, nor equal a valid one', () => {
  const texts = [
    [0xe4, 0x2d, 0x31],
    [0xf6, 0x2d, 0x31],
    [0xfc, 0x2d, 0x31],
    [0xef, 0xbf, 0xbd, 0xe4],
    [0xed, 0xb3, 0xa4],
  ]
  const all = texts.map((bytes) => decoded(Buffer.from(bytes)))
  assert.is(new Set(all).size, texts.length)
  assert.ok(all.every((text) => !text.isWellFormed()))
  assert.is(decoded(Buffer.from([0xe4, 0x2d, 0x31])), '\udce4-1')
})

test('only the given part of the buffer is decoded', () => {
  assert.is(decodeText(Buffer.from([0xe4, 0x61, 0xe4]), 1, 2), 'a')
})

test.run()
