import { Writable } from 'node:stream'
import * as assert from 'uvu/assert'
import { createIo, PIPE_CLOSED, type StandardStreams } from '../../../src/cli/io.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the output of a command')

/** Returns why a command is told to stop if its stdout fails with this code; undefined if it is not. */
const reasonAfter = (code: string, { isTTY, needsReader }: { isTTY: boolean; needsReader: boolean }): unknown => {
  const stdout = Object.assign(new Writable(), { isTTY })
  const streams = { stdin: process.stdin, stdout, stderr: new Writable() } as unknown as StandardStreams
  const stopping = new AbortController()
  createIo('0', stopping, streams, needsReader)
  stdout.emit('error', Object.assign(new Error(`${code}: write`), { code }))
  return stopping.signal.reason
}

test('a closed pipe or terminal stops a command, unless it changes something', () => {
  for (const needsReader of [true, false]) {
    const reason = needsReader ? PIPE_CLOSED : undefined
    assert.is(reasonAfter('EPIPE', { isTTY: false, needsReader }), reason)
    assert.is(reasonAfter('EIO', { isTTY: true, needsReader }), reason)
  }
})

test('any other error of the output is one of the command, so that a truncated file is no success', () => {
  for (const code of ['EIO', 'ENOSPC']) {
    const reason = reasonAfter(code, { isTTY: false, needsReader: true }) as Error & { code: string }
    assert.equal([reason instanceof Error, reason.code], [true, code])
  }
})

test.run()
