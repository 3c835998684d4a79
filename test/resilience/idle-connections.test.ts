// needs: openssl
import http2 from 'node:http2'
import net from 'node:net'
import tls from 'node:tls'
import * as assert from 'uvu/assert'
import { openHttp2 } from '../support/clients/http2-client.ts'
import { bearer, guarded, sign } from '../support/clients/tokens.ts'
import { residentMb } from '../support/harness/memory.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { testAuthority } from '../support/harness/transport.ts'
import { until } from '../support/harness/wait.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'

const COUNT = runs(300, 2_000)
/** An idle connection takes a tenth of this; the rest is garbage that is not collected yet. */
const MAX_KB = 300
/** The neighbours' own connections. */
const SPARE = 20
/** Connections above MAX_CONNECTIONS that stay open to be answered: see src/http/server/connection-limit.ts. */
const SURPLUS = 16

const idle = suite('connections without a token')

let gateway: Gateway
let address: tls.ConnectionOptions

idle.before(async () => {
  const authority = testAuthority()
  const { certFile, keyFile } = authority.issue()
  gateway = await startGateway({
    env: guarded({
      TLS_CERT_FILE: certFile,
      TLS_KEY_FILE: keyFile,
      // Longer than the test, so that none of them is closed for its silence.
      HEADERS_TIMEOUT_SECONDS: '600',
      REQUEST_TIMEOUT_SECONDS: '600',
      MAX_CONNECTIONS: String(COUNT + SPARE),
    }),
  })
  address = { host: '127.0.0.1', port: Number(new URL(gateway.url).port), ca: authority.ca }
})
idle.after(() => gateway?.dispose())

/** A connection of an attacker: `open` is false once the gateway has closed it. */
type Held = { readonly open: boolean; destroy(): void }

const hold = (socket: net.Socket, ready: string): Promise<Held> =>
  new Promise((resolve) => {
    let open = true
    const held: Held = {
      get open() {
        return open
      },
      destroy: () => socket.destroy(),
    }
    socket.on('error', () => {})
    socket.once('close', () => {
      open = false
      resolve(held)
    })
    socket.once(ready, () => resolve(held))
  })

const KINDS: Record<string, () => Promise<Held>> = {
  'TCP without a handshake': () => hold(net.connect(address as net.NetConnectOpts), 'connect'),
  'TLS without a request': () => hold(tls.connect({ ...address, ALPNProtocols: ['http/1.1'] }), 'secureConnect'),
  'HTTP/2 without a request': async () => {
    const socket = tls.connect({ ...address, ALPNProtocols: ['h2'] })
    const held = hold(socket, 'secureConnect')
    const session = http2.connect(gateway.url, { createConnection: () => socket })
    session.on('error', () => {})
    return held
  },
}

for (const [kind, connect] of Object.entries(KINDS)) {
  idle(`${kind}: each takes little memory, their number is bounded, and neighbours are served`, async () => {
    const client = await openHttp2(gateway.url, testAuthority().ca)
    const headers = bearer(await sign({ events: ['room'], scope: 'publish' }))
    const stream = await client.open('/api/events/room/stream', headers)
    const publish = async (text: string): Promise<void> => {
      const body = JSON.stringify({ message_content: text })
      const answer = await client.open('/api/events/room/messages', { ...headers, ':method': 'POST' }, body)
      assert.is(answer.status, 201)
      await stream.says(text)
    }
    const held: Held[] = []
    const open = (): number => held.filter((one) => one.open).length
    try {
      await publish(`before ${kind}`)
      const before = residentMb(gateway.pid)
      for (let n = 0; n < COUNT; n += 50) {
        held.push(...(await Promise.all(Array.from({ length: Math.min(50, COUNT - n) }, connect))))
      }
      assert.is(open(), COUNT)
      await publish(`among ${kind}`)
      const kb = Math.round(((residentMb(gateway.pid) - before) * 1_024) / COUNT)
      process.stdout.write(`${kind}: ${kb} KB each\n`)
      assert.ok(kb < MAX_KB, `${kb} KB each`)
      held.push(...(await Promise.all(Array.from({ length: 4 * SPARE }, connect))))
      const isBounded = (): boolean => open() < COUNT + SPARE + SURPLUS
      await until(isBounded, { what: 'the gateway closes what is above MAX_CONNECTIONS', saw: open })
      await publish(`beyond ${kind}`)
    } finally {
      for (const one of held) one.destroy()
    }
    await until(
      async () => {
        const newcomer = await openHttp2(gateway.url, testAuthority().ca)
        const { status } = await newcomer.open('/livez').finally(() => newcomer.close())
        return status === 200
      },
      { what: 'a newcomer once they are gone' },
    )
    client.close()
  })
}

idle.run()
