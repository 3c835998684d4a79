import net from 'node:net'

/** A connection to a server whose responses can be lost. */
export type DeafLine = {
  readonly port: number
  /** From now on requests reach the server and its responses are discarded. */
  deafen(): void
  /** Breaks open connections; new ones are served. */
  reset(): void
  close(): Promise<void>
}

/** Forwards its own port to a port on loopback. */
export const startDeafLine = async (target: number): Promise<DeafLine> => {
  const pairs = new Set<[net.Socket, net.Socket]>()
  let dropsInput = false
  const server = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1')
    pairs.add([near, far])
    near.on('data', (chunk) => void far.write(chunk))
    far.on('data', (chunk) => {
      if (!dropsInput) near.write(chunk)
    })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => undefined)
      one.once('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const reset = (): void => {
    dropsInput = false
    for (const [near] of pairs) near.resetAndDestroy()
    pairs.clear()
  }
  return {
    port: (server.address() as net.AddressInfo).port,
    deafen() {
      dropsInput = true
    },
    reset,
    async close() {
      reset()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
