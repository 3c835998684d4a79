import net from 'node:net'

/** A TCP connection that can fail like a network. */
export type Line = {
  readonly port: number
  /** Number of accepted connections so far. */
  readonly connections: number
  /** Blocks all data silently, in both directions and on new connections too. */
  freeze(): void
  /** Forwards everything that was held back. */
  thaw(): void
  /** Resets all connections; new ones are served. */
  reset(): void
  close(): Promise<void>
}

/** A port of 127.0.0.1, or the port and the host that a server is reached at. */
export type Target = number | { readonly host: string; readonly port: number }

/** Forwards its own port, or a given one, to a target on loopback; a function is called for each connection. */
export const startProxy = async (target: Target | (() => Target), own = 0): Promise<Line> => {
  const pairs = new Set<[net.Socket, net.Socket]>()
  let frozen = false
  let connections = 0

  const server = net.createServer((near) => {
    connections += 1
    const to = typeof target === 'function' ? target() : target
    const far = net.connect(typeof to === 'number' ? { host: '127.0.0.1', port: to } : to)
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
