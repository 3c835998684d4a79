import { type AddressInfo, createServer } from 'node:net'
import { GatewayError } from '../core/errors.ts'

/**
 * Finds a port for all workers: the given one if it is free, any free one for 0. The workers then share it with
 * SO_REUSEPORT, each with an accept queue of its own: a connection that the primary passed to a worker just as it exits
 * would hang for ever. The port is probed first because a second gateway could otherwise share it in the same way.
 *
 * @throws GatewayError listen_failed
 */
export const reservePort = (host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (cause) =>
      reject(new GatewayError('listen_failed', `Cannot listen on ${host} port ${port}.`, { cause })),
    )
    probe.listen(port, host, () => {
      const freePort = (probe.address() as AddressInfo).port
      probe.close(() => resolve(freePort))
    })
  })
