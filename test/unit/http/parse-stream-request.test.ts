import { createServer, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { parseStreamRequest } from '../../../src/http/server/parse-stream-request.ts'
import { measureGrowth } from '../../support/harness/processor-time.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

const request = suite('the parser of stream requests')

const NO_SOCKET = {} as Socket
const read = (text: string, basePath = '') => parseStreamRequest(NO_SOCKET, Buffer.from(text, 'latin1'), basePath)
const PLAIN = 'GET /api/events/room/stream HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 7\r\n\r\n'

/** Returns the request as Node's HTTP parser reads it; null if the parser rejects it. */
const readByNode = (text: string): Promise<IncomingMessage | null> =>
  new Promise((resolve) => {
    const server = createServer((incoming) => resolve(incoming))
    server.on('clientError', () => resolve(null))
    const line = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    server.emit('connection', line)
    line.push(Buffer.from(text, 'latin1'))
  })

request('gives path, event, query and fields', () => {
  const got = read(
    'GET /api/events/a%2Fb%20%E4%B8%AD/stream?tail=5&x=a?b HTTP/1.1\r\nHost: h:1\r\nCOOKIE: a=b; c=d \r\nX-Empty:\r\n\r\n',
  )
  assert.is(got?.event, 'a/b 中')
  assert.is(got?.path, '/api/events/a%2Fb%20%E4%B8%AD/stream')
  assert.is(got?.querystring, 'tail=5&x=a?b')
  assert.is(got?.get('cookie'), 'a=b; c=d')
  assert.is(got?.get('x-empty'), '')
  assert.is(got?.get('absent'), '')
  assert.is(read('GET /api/stream?event_id=a HTTP/1.1\r\nHost: h\r\n\r\n')?.event, null)
})

request('finds its path below the base path only, in one spelling', () => {
  const under = (path: string) => read(PLAIN.replace('/api', path), '/soc')
  assert.is(under('/soc/api')?.path, '/api/events/room/stream')
  for (const path of ['/api', '/soc/soc/api', '/SOC/api', '/so%63/api', '/soc//api', '/soc-api', 'soc/api']) {
    assert.is(under(path), null, path)
  }
})

const UNUSUAL: Record<string, string> = {
  'another method': PLAIN.replace('GET', 'HEAD'),
  'a method in small letters': PLAIN.replace('GET', 'get'),
  'another path': PLAIN.replace('stream', 'messages'),
  'more path': PLAIN.replace('/stream', '/stream/'),
  'another spelling': PLAIN.replace('/stream', '/Stream'),
  'a whole URL': PLAIN.replace('/api', 'http://h/api'),
  'a fragment': PLAIN.replace('stream', 'stream#x'),
  'a path that is no UTF-8': PLAIN.replace('room', '%ff'),
  'HTTP/1.0': PLAIN.replace('1.1', '1.0'),
  'no host': PLAIN.replace('Host: h\r\n', ''),
  'half a head': PLAIN.slice(0, -2),
  'something behind it': `${PLAIN}GET`,
  'a second request behind it': PLAIN + PLAIN,
  'lines that end by a line feed alone': PLAIN.replaceAll('\r\n', '\n'),
  'a line feed within a field': PLAIN.replace('7', '7\nX-Y: 1'),
  'a folded field': PLAIN.replace('7', '7\r\n 8'),
  'a blank before the colon': PLAIN.replace('ID:', 'ID :'),
  'a field without a name': PLAIN.replace('Last-Event-ID', ''),
  'a line without a colon': PLAIN.replace('Last-Event-ID: ', ''),
  'a field twice': PLAIN.replace('Host: h', 'Host: h\r\nhost: i'),
  'a raw byte': PLAIN.replace('7', '7\xe9'),
  'a zero byte': PLAIN.replace('7', '7\0'),
  'a body': PLAIN.replace('Last-Event-ID: 7', 'Content-Length: 0'),
  'a chunked body': PLAIN.replace('Last-Event-ID: 7', 'Transfer-Encoding: chunked'),
  'another protocol': PLAIN.replace('Last-Event-ID: 7', 'Connection: upgrade\r\nUpgrade: h2c'),
  'another page': PLAIN.replace('Last-Event-ID: 7', 'Origin: http://other'),
  'an expectation': PLAIN.replace('Last-Event-ID: 7', 'Expect: 100-continue'),
  'many fields': PLAIN.replace('\r\n\r\n', `${Array.from({ length: 64 }, (_, n) => `\r\nX-${n}: 1`).join('')}\r\n\r\n`),
  'a long head': PLAIN.replace('7', '7'.repeat(9_000)),
}

for (const [what, text] of Object.entries(UNUSUAL)) {
  request(`leaves ${what} to Node`, () => assert.is(read(text), null))
}

request('endless blanks cost time linear in their length', () => {
  const growth = measureGrowth((size) => {
    const text = PLAIN.replace('7', `7${' '.repeat(size)}7`)
    for (let n = 0; n < 100; n++) assert.is(read(text)?.get('last-event-id').length, size + 2)
  }, 7_000)
  assert.ok(growth < 40, `ten times the blanks take ${growth} times the processor`)
})

const NAMES = [
  'Host',
  'host',
  'Last-Event-ID',
  'Cookie',
  'Accept',
  'X-Forwarded-For',
  'Connection',
  'X',
  'a b',
  'é',
  '',
]
const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('h', 'a=b', '7', 'keep-alive', 'close', '', 'text/event-stream', '1.2.3.4') },
  { weight: 1, arbitrary: fc.string({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom('\t', '  x  ', '\x7f', '\x80', '\r', '\n', '\0', ':', ',') },
)
const field = fc.tuple(
  fc.constantFrom(...NAMES),
  fc.constantFrom(': ', ':', ' :', ':\t '),
  piece,
  fc.constantFrom('', ' ', '\t'),
)
const target = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('/api/stream', '/api/events/a/stream', '/api/events/%41/stream?tail=1') },
  { weight: 1, arbitrary: fc.string({ maxLength: 10 }).map((text) => `/api/events/${text}/stream?${text}`) },
)
const head = fc
  .tuple(target, fc.constantFrom('\r\n', '\r\n', '\r\n', '\n'), fc.array(field, { maxLength: 5 }), fc.boolean())
  .map(
    ([path, end, fields, host]) =>
      `GET ${path} HTTP/1.1${end}${host ? `Host: h${end}` : ''}${fields.map((parts) => parts.join('') + end).join('')}${end}`,
  )

request('every request that it accepts is parsed identically by Node', async () => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(head, async (text) => {
      const ours = read(text)
      if (ours === null) return
      taken++
      const theirs = await readByNode(text)
      assert.is(theirs?.method, ours.method)
      assert.is(theirs?.url, ours.path + (text.split(' ')[1]!.includes('?') ? `?${ours.querystring}` : ''))
      assert.equal({ ...theirs?.headers }, { ...ours.req.headers })
    }),
    { numRuns: runs(2_000, 50_000) },
  )
  assert.ok(taken > 100, `${taken} were taken`)
})

request.run()
