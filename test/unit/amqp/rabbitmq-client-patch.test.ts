import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Connection } from 'rabbitmq-client'
import codec from 'rabbitmq-client/lib/codec.js'
import * as assert from 'uvu/assert'
import { ReconnectingConnection } from '../../../src/amqp/connection.ts'
import type { BrokerError } from '../../../src/amqp/errors.ts'
import { assertClientCompatible, type InstalledClient } from '../../../src/amqp/rabbitmq-client-patch.ts'
import { suite } from '../../support/harness/suite.ts'
import { ROOT } from '../../support/servers/gateway.ts'

const test = suite('rabbitmq-client')

const { version } = createRequire(import.meta.url)('rabbitmq-client/package.json') as { version: string }

const refusalOf = (changes: Partial<InstalledClient>): BrokerError => {
  try {
    assertClientCompatible({ version, Connection, codec, ...changes })
  } catch (error) {
    assert.is((error as BrokerError).code, 'amqp_client_incompatible')
    return error as BrokerError
  }
  throw new Error('it was accepted')
}

/** A Connection without one of its members; it never connects. */
const connectionWithout = (name: string): unknown => {
  const [own, part] = name.split('.') as [string, string | undefined]
  class Other extends (Connection as unknown as new (options: object) => Record<string, unknown>) {
    constructor(options: object) {
      super(options)
      if (part === undefined) delete this[own]
      else delete (this[own] as Record<string, unknown>)[part]
    }
  }
  if (own in Connection.prototype) Object.defineProperty(Other.prototype, own, { value: undefined })
  return Other
}

test('the installed version is the one that package.json pins, and has every member that is used', () => {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  assert.is(version, dependencies['rabbitmq-client'])
  assertClientCompatible()
})

for (const name of ['_connect', '_negotiate', '_handleChunk', '_opt.frameMax', '_state.frameMax', '_socket']) {
  test(`a version without ${name} is refused by that name`, () => {
    const { message } = refusalOf({ Connection: connectionWithout(name) })
    assert.match(message, `It lacks ${name}.`)
  })
}

test('a version without its decoder is refused by that name', () => {
  assert.match(refusalOf({ codec: {} }).message, 'It lacks decodeFrame.')
})

test('another version is refused even if it has every member, and both versions are named', () => {
  assert.is(refusalOf({ version: '99.0.0' }).message, `rabbitmq-client 99.0.0 is installed, and ${version} is needed.`)
})

test('checking the members opens no connection', () => {
  let connections = 0
  class Counted extends (Connection as unknown as new (options: object) => { _connect(): unknown }) {
    override _connect(): unknown {
      connections++
      return super._connect()
    }
  }
  assertClientCompatible({ version, Connection: Counted, codec })
  assert.is(connections, 0)
})

test('a connection that was never started stops at once', async () => {
  const address = { hosts: [{ hostname: '127.0.0.1', port: 1 }], username: 'u', password: 'p', vhost: '/', tls: null }
  const options = {
    address,
    name: 'unit',
    heartbeatSeconds: 10,
    readFrames: null,
    use: async () => {},
    onError: () => {},
  }
  await new ReconnectingConnection(options).stop()
})

test.run()
