/**
 * The cheapest server there is: it writes the same bytes to every connection as fast as each takes them, to see how
 * much the load driver can count. Arguments: port, messages in one write.
 */
import net from 'node:net'
import { messageText } from './message.ts'

const [port, messages] = process.argv.slice(2).map(Number) as [number, number]
const bytes = Buffer.from(`id: 1\nevent: new_message\ndata: ${messageText('e0', 1, 300)}\n\n`.repeat(messages))
const sockets = new Set<net.Socket>()

net
  .createServer({ noDelay: true }, (socket) => {
    socket.write('hello')
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  })
  .listen({ port, host: '127.0.0.1', backlog: 4096 })

const round = (): void => {
  let wrote = false
  for (const socket of sockets) {
    if (socket.writableLength > 0) continue
    socket.write(bytes)
    wrote = true
  }
  if (wrote) setImmediate(round)
  else setTimeout(round, 1)
}
// Readers connect in peace first.
setTimeout(round, 1_500)
