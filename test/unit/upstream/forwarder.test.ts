import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import * as assert from 'uvu/assert'
import { Forwarder } from '../../../src/upstream/forwarder.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the requests of an edge to its core')

test('have a frame of their own, so that no body is read as the next request', async () => {
  const received: string[] = []
  const core = createServer(async (request, response) => {
    received.push(`${request.method} ${await text(request)}`)
    response.end()
  })
  await new Promise<void>((resolve) => core.listen(0, '127.0.0.1', resolve))
  const forwarder = new Forwarder(`http://127.0.0.1:${(core.address() as AddressInfo).port}`)
  try {
    const hidden = 'POST /hidden HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'
    for (const method of ['DELETE', 'GET', 'POST']) {
      await forwarder.forward({ method, path: '/', headers: {}, body: Readable.from([hidden]) })
      await forwarder.forward({ method, path: '/', headers: {}, body: null })
    }
    assert.equal(
      received,
      ['DELETE', 'GET', 'POST'].flatMap((method) => [`${method} ${hidden}`, `${method} `]),
    )
  } finally {
    forwarder.close()
    core.close()
  }
})

test.run()
