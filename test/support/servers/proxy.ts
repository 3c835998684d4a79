import net from 'node:net'

/** A TCP line that can fail in the ways a network does. */
export type Line = {
  readonly port: number
  /** Connections that came in so far. */
  readonly connections: number
  /** Nothing passes any more, in either direction and on new connections too, and nobody is told. */
  freeze(): void
  /** Everything that was held back passes. */
  thaw(): void
  /** Breaks all connections with a reset; new ones are served. */
  reset(): void
  close(): Promise<void>
}

/** Forwards a port of its own, or one that is given, to a port on loopback. */
export const startProxy = async (target: number, own = 0): Promise<Line> => {
  const pairs = new Set<[net.Socket, net.Socket]>()
  let frozen = false
  let connections = 0

  const server = net.createServer((near) => {
    connections += 1
    const far = net.connect(target, '127.0.0.1')
    const pair: [net.Socket, net.Socket] = [near, far]
    pairs.add(pair)
    const forward = (from: net.Socket, to: net.Socket): void => {
      from.on('data', (chunk) => void to.write(chunk))
      from.on('error', () => {})
      from.once('close', () => {
        pairs.delete(pair)
        to.destroySoon()
      })
      if (frozen) from.pause()
    }
    forward(near, far)
    forward(far, near)
  })
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve))

  const all = (act: (socket: net.Socket) => void): void => {
    for (const pair of [...pairs]) for (const socket of pair) act(socket)
  }

  return {
    port: (server.address() as net.AddressInfo).port,
    get connections() {
      return connections
    },
    freeze() {
      frozen = true
      all((socket) => socket.pause())
    },
    thaw() {
      frozen = false
      all((socket) => socket.resume())
    },
    reset: () => all((socket) => socket.resetAndDestroy()),
    async close() {
      all((socket) => socket.destroy())
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
