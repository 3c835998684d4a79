import net from 'node:net'

/** A proxy before RabbitMQ that raises an alarm while the confirm channel of a connection is being opened. */
export type AlarmProxy = {
  readonly port: number
  /** Sends connection.unblocked. */
  endAlarm(): void
  /** Forwards confirm.select, which is held back. */
  openChannel(): void
  close(): Promise<void>
}

/** A method frame of AMQP 0-9-1 on channel 0, of class connection. */
const connectionFrame = (method: number, args: string): Buffer => {
  const payload = Buffer.concat([Buffer.from([0, 10, 0, method]), Buffer.from(args)])
  const frame = Buffer.alloc(7)
  frame.writeUInt8(1, 0)
  frame.writeUInt32BE(payload.length, 3)
  return Buffer.concat([frame, payload, Buffer.from([0xce])])
}

const BLOCKED = connectionFrame(60, '\x03low')
const UNBLOCKED = connectionFrame(61, '')
const CONFIRM_SELECT = Buffer.from([0, 85, 0, 10])

/** Forwards a port to one on loopback. RabbitMQ itself raises an alarm only for connections that publish already. */
export const startAlarmProxy = async (target: number): Promise<AlarmProxy> => {
  const sockets: net.Socket[] = []
  let sendFrame: (frame: Buffer) => void = () => {}
  let openChannel: () => void = () => {}
  const server = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1')
    sockets.push(near, far)
    for (const socket of [near, far]) socket.on('error', () => {})
    far.on('data', (chunk) => void near.write(chunk)).once('close', () => near.destroySoon())
    near.once('close', () => far.destroySoon())
    let held: Buffer[] | null = null
    let seen = false
    near.on('data', (chunk) => {
      if (!seen && chunk.includes(CONFIRM_SELECT)) {
        seen = true
        held = []
        sendFrame = (frame) => void near.write(frame)
        openChannel = () => {
          for (const waiting of held ?? []) far.write(waiting)
          held = null
        }
        sendFrame(BLOCKED)
      }
      if (held === null) far.write(chunk)
      else held.push(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    endAlarm: () => sendFrame(UNBLOCKED),
    openChannel: () => openChannel(),
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
