import { readFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { ROOT } from '../servers/gateway.ts'

/** The script tag that docs/PUBLISHING.md gives for an existing DeepSOC. */
export const scriptTag = (): string => {
  const [tag] = /<script type="module">[\s\S]*?<\/script>/.exec(readFileSync(join(ROOT, 'docs/PUBLISHING.md'), 'utf8'))!
  return tag
}

/** The parts of DeepSOC's own page that the tag depends on: its names, and message_id as the identity of a message. */
const WARROOM = `<!doctype html><title>warroom</title><ol id="list"></ol><script>
  let socket
  const eventId = 'room/1'
  const known = new Set()
  const taken = []
  function addMessage(message) {
    if (known.has(message.message_id)) return false
    known.add(message.message_id)
    document.getElementById('list').append(Object.assign(document.createElement('li'), { textContent: message.message_id }))
    return true
  }
  function scrollToBottom() { taken.push('scrolled') }
  document.addEventListener('DOMContentLoaded', () => {
    socket = { off: (name) => taken.push('off ' + name) }
    addMessage({ message_id: 'm-1' })
  })
</script>`

/** An origin with this page at `/war-room` next to the gateway's routes, as with a reverse proxy. */
export const startDocPage = async (gatewayUrl: string): Promise<{ url: string; close(): Promise<void> }> => {
  const server = http.createServer((request, response) => {
    if (request.url === '/war-room') {
      response.setHeader('Content-Type', 'text/html; charset=utf-8')
      response.end(WARROOM + scriptTag())
      return
    }
    const { method, headers } = request
    const onward = http.request(gatewayUrl + request.url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/war-room`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
