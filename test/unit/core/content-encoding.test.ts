import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { decodeContent } from '../../../src/core/content-encoding.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the content encoding of a body')

const TEXT = '{"n":12302548181076029,"text":"先取证，再封禁"}'
const LIMIT = 1_000

const decode = (body: Buffer | string, encoding?: string, limit = LIMIT) => {
  const content = decodeContent(Buffer.from(body), encoding, limit)
  return Buffer.isBuffer(content) ? content.toString() : content.error
}

test('is gzip or deflate in any case, and the result is the published text', () => {
  for (const name of ['gzip', 'GZIP', ' x-gzip']) assert.is(decode(gzipSync(TEXT), name), TEXT, name)
  assert.is(decode(deflateSync(TEXT), 'deflate'), TEXT)
  assert.is(decode(Buffer.concat([gzipSync(TEXT.slice(0, 9)), gzipSync(TEXT.slice(9))]), 'gzip'), TEXT)
})

test('can be a character set, which changes nothing', () => {
  for (const name of [undefined, '', 'identity', 'utf-8', 'UTF-8', 'utf8', 'binary'])
    assert.is(decode(TEXT, name), TEXT)
})

test('is named if it is not supported', () => {
  for (const name of ['br', 'zstd', 'gzip, deflate', 'klingon', '\udc80']) {
    const error = decode(TEXT, name) as { reason: string; detail: string }
    assert.is(error.reason, 'unsupported_content_encoding')
    assert.ok(error.detail.includes(JSON.stringify(name)), error.detail)
    assert.ok(error.detail.isWellFormed())
  }
})

test('that the body does not have is an error', () => {
  const whole = gzipSync(TEXT)
  for (const body of [TEXT, '', whole.subarray(0, -1), whole.subarray(0, 12), deflateRawSync(TEXT)]) {
    const error = decode(body as Buffer, 'gzip') as { reason: string; detail: string }
    assert.is(error.reason, 'invalid_content_encoding', String(body))
    assert.match(error.detail, /cannot be decompressed: .+\.$/)
  }
})

test('of a bomb is refused by the size of its content, before that is held', () => {
  const exact = gzipSync('x'.repeat(LIMIT))
  assert.is(decode(exact, 'gzip'), 'x'.repeat(LIMIT))
  const bomb = gzipSync(Buffer.alloc(16 * 1024 * 1024))
  const before = process.memoryUsage().arrayBuffers
  for (const body of [gzipSync('x'.repeat(LIMIT + 1)), bomb, deflateSync(Buffer.alloc(LIMIT + 1))]) {
    const error = decode(body, 'gzip') as { reason: string; detail: string }
    assert.equal(error, { reason: 'body_too_large', detail: `The decompressed body is larger than ${LIMIT} bytes.` })
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * 1024 * 1024)
})

test.run()
