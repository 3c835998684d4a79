import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Json } from '../harness/wait.ts'

/**
 * A small war room as DeepSOC builds it: top-level variables of classic scripts, a Socket.IO client whose listeners are
 * registered on DOMContentLoaded, lines recognized by `temp_id` or `message_id`, and a load after the greatest id.
 */
export const warRoomPage = (event_id: string, gateway: string): string => `<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>war room</title></head><body>
<div id="event-id-data" data-event-id="${event_id}"></div>
<div id="connection-status">-</div><ol id="lines"></ol>
<script>
class Emitter {
  #all = new Map()
  connected = true
  listeners(name) { return [...(this.#all.get(name) ?? [])] }
  on(name, listener) { this.#all.set(name, [...this.listeners(name), listener]); return this }
  off(name, listener) { this.#all.set(name, listener ? this.listeners(name).filter((one) => one !== listener) : []); return this }
  deliver(name, ...args) { for (const listener of this.listeners(name)) listener.apply(this, args) }
}
const io = () => new Emitter()
</script>
<script>
const eventId = document.getElementById('event-id-data').dataset.eventId
const socket = io()
let messagesData = []
let displayedMessages = new Set()
let stats = 0
function addMessage(message) {
  const key = message.temp_id ? 'tmp_' + message.temp_id : 'id_' + message.message_id
  if (message.temp_id) {
    document.getElementById('line-' + message.temp_id)?.remove()
    displayedMessages.delete(key)
    messagesData = messagesData.filter(({ temp_id }) => temp_id !== message.temp_id)
  }
  if (displayedMessages.has(key)) return false
  displayedMessages.add(key)
  messagesData.push(message)
  const line = document.createElement('li')
  line.id = 'line-' + (message.temp_id ?? message.message_id)
  line.textContent = message.message_content?.text ?? message.message_id
  if (message.pending) line.className = 'pending'
  if (message.message_type === 'thinking') line.setAttribute('data-message-type', 'thinking')
  document.getElementById('lines').append(line)
  return true
}
async function fetchEventMessages() {
  const last = messagesData.length > 0 ? Math.max(...messagesData.map(({ id }) => id)) : 0
  const { data } = await (await fetch('/api/event/' + eventId + '/messages?last_message_db_id=' + last)).json()
  for (const message of data) addMessage(message)
}
async function fetchEventStats() { stats++ }
async function fetchEventDetails() {}
document.addEventListener('DOMContentLoaded', () => {
  fetchEventMessages()
  socket.on('new_message', (message) => {
    addMessage(message)
  })
})
</script>
<script src="${gateway}/deepsoc.js"></script>
</body></html>`

/** A server of DeepSOC's page: an origin of its own, with the rows of its database. */
export class DeepsocPageServer {
  readonly rows: Json[] = []
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<DeepsocPageServer> {
    const server = createServer()
    const it = new DeepsocPageServer(server)
    server.on('request', (request, response) => {
      const url = new URL(request.url!, it.url)
      if (url.pathname.startsWith('/api/event/')) {
        const last = Number(url.searchParams.get('last_message_db_id')) || 0
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ status: 'success', data: it.rows.filter(({ id }) => id > last) }))
      } else {
        response.setHeader('content-type', 'text/html; charset=utf-8')
        response.end(warRoomPage(url.pathname.slice('/warroom/'.length), url.searchParams.get('gateway')!))
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return it
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
