import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import { HttpTransport } from '../../../src/cli/publish/http-transport.ts'
import { validateText } from '../../../src/cli/publish/validate.ts'
import { noToken } from '../../../src/cli/token/source.ts'
import { createUuidV7Generator } from '../../../src/core/uuid.ts'
import { callCli } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the timeouts of commands')

/** Runs something with timeouts that are over at once, and with a gateway that never answers. @returns their milliseconds */
const withSilentGateway = async (run: () => Promise<unknown>): Promise<number[]> => {
  const timeouts: number[] = []
  const timing = mock.method(AbortSignal, 'timeout', (ms: number) => {
    timeouts.push(ms)
    return AbortSignal.abort(new DOMException('over', 'TimeoutError'))
  })
  const fetching = mock.method(globalThis, 'fetch', async (_url: string, { signal }: { signal: AbortSignal }) => {
    signal.throwIfAborted()
    return Response.json({ data: [], next_before: null, indexed: 1, has_more: false })
  })
  try {
    await run()
  } finally {
    timing.mock.restore()
    fetching.mock.restore()
  }
  return timeouts
}

test('events and search do not wait for an answer without end', async () => {
  for (const call of [['events'], ['search', 'some text']]) {
    await withSilentGateway(async () => {
      const { code, stderr } = await callCli(call)
      assert.is(code, 1)
      assert.match(stderr, /^deepsoc-gateway: gateway_unreachable\n.*does not respond/)
    })
  }
})

test('a request of publish takes no longer than its --timeout leaves', async () => {
  const makeId = createUuidV7Generator((size) => Buffer.alloc(size))
  const validated = validateText('{"event_id":"e"}', undefined, { now: () => 0, makeId })
  if ('error' in validated) throw new Error(validated.error.detail)
  const timeouts = await withSilentGateway(async () => {
    const signal = new AbortController().signal
    const options = { url: 'http://127.0.0.1', token: noToken, timeoutMs: 1_500, signal, onResult: () => {} }
    const transport = new HttpTransport(options)
    await transport.send({ line: null, message: validated.message })
    await transport.finish()
  })
  assert.ok(timeouts.length > 0)
  assert.equal(
    timeouts.map((ms) => Math.min(Math.max(ms, 1_000), 1_500)),
    timeouts,
  )
})

test.run()
