import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Attacks a gateway from its own process until it is ended: `node attacker.ts PORT KIND COUNT`. For each line on stdin
 * it prints its counters as JSON.
 */
const [port = '0', kind = '', count = '0'] = process.argv.slice(2)

/** `opened`: connections made; `closed`: those that the server closed; `answers`: number of responses by status. */
const did = { opened: 0, closed: 0, sent: 0, answers: {} as Record<string, number> }

const connect = (): Promise<net.Socket> =>
  new Promise((resolve) => {
    const socket = net.connect(Number(port), '127.0.0.1')
    socket.on('error', () => resolve(socket))
    socket.once('connect', () => {
      did.opened += 1
      resolve(socket)
    })
    socket.once('close', () => {
      did.closed += 1
    })
    socket.on('data', (bytes) => {
      const status = /^HTTP\/1\.1 (\d+)/.exec(bytes.toString('latin1'))?.[1]
      if (status !== undefined) did.answers[status] = (did.answers[status] ?? 0) + 1
    })
  })

const send = async (socket: net.Socket, bytes: string | Buffer): Promise<void> => {
  if (socket.destroyed) return
  did.sent += bytes.length
  if (!socket.write(bytes)) {
    await Promise.race([
      new Promise((resolve) => socket.once('drain', resolve)),
      new Promise((resolve) => socket.once('close', resolve)),
    ])
  }
}

const BLOCK = Buffer.alloc(64 * 1024, 'x')

const KINDS: Record<string, () => Promise<void>> = {
  /** A head that never ends, sent byte by byte. */
  slowloris: async () => {
    const socket = await connect()
    await send(socket, 'GET /api/events HTTP/1.1\r\nhost: x\r\n')
    while (!socket.destroyed) {
      await sleep(700 + Math.random() * 600)
      await send(socket, 'x')
    }
  },
  /** A body that never ends, sent byte by byte. */
  slowbody: async () => {
    const socket = await connect()
    await send(socket, 'POST /api/events/room/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n\r\n{')
    while (!socket.destroyed) {
      await sleep(700 + Math.random() * 600)
      await send(socket, ' ')
    }
  },
  /** Heads far above the limit. */
  bomb: async () => {
    const socket = await connect()
    await send(socket, 'GET / HTTP/1.1\r\nhost: x\r\n')
    for (let n = 0; n < 64 && !socket.destroyed; n++) await send(socket, `x-${n}: ${BLOCK.subarray(0, 8_000)}\r\n`)
    socket.destroy()
    await sleep(20)
  },
  /** Connections that open and close, some with a request. */
  churn: async () => {
    const socket = await connect()
    if (Math.random() < 0.5) await send(socket, 'GET /livez HTTP/1.1\r\nhost: x\r\n\r\n')
    socket.destroy()
    await sleep(5)
  },
  /** Endless chunked bodies. */
  oversize: async () => {
    const socket = await connect()
    await send(socket, 'POST /api/events/room/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n')
    for (let n = 0; n < 1_000 && !socket.destroyed && socket.writable; n++) {
      await send(socket, Buffer.concat([Buffer.from('10000\r\n'), BLOCK, Buffer.from('\r\n')]))
    }
    socket.destroy()
    await sleep(50)
  },
}

const forever = async (): Promise<never> => {
  for (;;) await KINDS[kind]!()
}

process.stdin.on('data', () => process.stdout.write(`${JSON.stringify(did)}\n`))
for (let n = 0; n < Number(count); n++) {
  void forever()
  if (n % 50 === 49) await sleep(10)
}
