/** A Socket.IO server as its documentation builds one: a room for each event, POST /pub/EVENT publishes into it. */
import http from 'node:http'
import { createRequire } from 'node:module'

interface Connection {
  readonly handshake: { readonly query: { readonly event?: string } }
  join(room: string): void
}

interface Io {
  on(name: 'connection', listener: (socket: Connection) => void): void
  to(room: string): { emit(name: string, value: unknown): void }
}

// Loaded so, because the package is a guest of the bench and may be missing.
const { Server } = createRequire(import.meta.url)('socket.io') as {
  Server: new (server: http.Server, options: Record<string, unknown>) => Io
}

const server = http.createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const room = request.url!.slice('/pub/'.length)
    io.to(room).emit('new_message', JSON.parse(Buffer.concat(chunks).toString()))
    response.writeHead(200, { 'Content-Length': 2 }).end('ok')
  })
})

// The load driver answers no pings; none come within a run.
const io = new Server(server, { transports: ['websocket'], pingInterval: 3_600_000, pingTimeout: 3_600_000 })
io.on('connection', (socket) => socket.join(socket.handshake.query.event ?? ''))
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
