import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { getJson, type HttpResult } from '../harness/wait.ts'
import { queryRows } from '../servers/postgres.ts'
import type { Cluster } from './cluster.ts'

/** A process of the cluster, as the page shows it. */
type Shown = {
  readonly name: string
  readonly address: string
  /** What it does at present; `down` if it is not running. */
  readonly state: string
  readonly actions: readonly string[]
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>Cluster</title>
<style>body{font:16px sans-serif;margin:2rem}td,th{padding:.3rem 1rem;text-align:left}button{margin-right:.5rem}</style>
<h1>Cluster</h1><p id="serves"></p><table><thead><tr><th>process<th>address<th>state<th></tr></thead><tbody></tbody></table>
<p id="error" role="alert"></p>
<script>
const act = async (name, action) => {
  document.querySelector('#error').textContent = name + ': ' + action + ' …'
  const answer = await fetch('/act', { method: 'POST', body: JSON.stringify({ name, action }) })
  document.querySelector('#error').textContent = await answer.text()
}
const cell = (row, text) => (row.insertCell().textContent = text)
const show = async () => {
  const { serves, processes } = await (await fetch('/state')).json()
  document.querySelector('#serves').textContent = 'Your requests are served by: ' + serves
  const body = document.createElement('tbody')
  for (const { name, address, state, actions } of processes) {
    const row = body.insertRow()
    for (const text of [name, address, state]) cell(row, text)
    const buttons = row.insertCell()
    for (const action of actions) {
      const button = document.createElement('button')
      button.textContent = action
      button.onclick = () => act(name, action)
      buttons.append(button)
    }
  }
  document.querySelector('tbody').replaceWith(body)
}
setInterval(() => show().catch(() => undefined), 1000)
</script>`

const silent = (): null => null

/** The answer of a server that may be down or cut off. */
const asked = (cluster: Cluster, url: string): Promise<HttpResult | null> =>
  getJson(url, { headers: cluster.headers, timeoutMs: 900 }).catch(silent)

/** A cluster that a user plays with: a page shows what each process does, and kills, starts and parts them. */
export class Playground {
  readonly #cluster: Cluster
  readonly #joins = new Map<string, () => unknown>()
  readonly #server: http.Server

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#server = http.createServer((request, response) => {
      this.#answer(request).then(
        ({ type, text }) => response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(text),
        (error: Error) => response.writeHead(500, { 'content-type': 'text/plain' }).end(error.message),
      )
    })
  }

  /** @returns the address of the page */
  async start(): Promise<string> {
    const { hostname } = new URL(this.#cluster.nginx.url)
    await new Promise<void>((resolve) => this.#server.listen(0, hostname, resolve))
    return `http://${hostname}:${(this.#server.address() as AddressInfo).port}/`
  }

  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #answer(request: http.IncomingMessage): Promise<{ type: string; text: string }> {
    const { method, url, headers } = request
    if (url === '/') return { type: 'text/html', text: PAGE }
    if (url === '/state') return { type: 'application/json', text: JSON.stringify(await this.#state()) }
    // A page of another site may not act here.
    if (method !== 'POST' || url !== '/act' || headers.origin !== `http://${headers.host}`) throw new Error('refused')
    let body = ''
    for await (const chunk of request) body += chunk
    const { name, action } = JSON.parse(body) as { name: string; action: string }
    await this.#act(name, action)
    return { type: 'text/plain', text: '' }
  }

  async #state(): Promise<{ serves: string; processes: Shown[] }> {
    const { nginx, gateways, nodes, databases } = this.#cluster
    const through = await asked(this.#cluster, `${nginx.url}/livez`)
    const served = String(through?.headers['x-gateway'] ?? '')
      .split(', ')
      .at(-1)
    const serves = gateways.findIndex(({ url }) => new URL(url).host === served)
    const shown = (name: string, url: string, isRunning: boolean, state: string, more: string[] = []): Shown => ({
      ...{ name, address: new URL(url).host, state: isRunning ? state : 'down' },
      actions: isRunning ? ['kill', ...(this.#joins.has(name) ? ['join'] : more)] : ['start'],
    })
    const ofGateways = gateways.map(async (gateway, index) => {
      const ready = gateway.running ? await asked(this.#cluster, `${gateway.url}/readyz`) : null
      const faults: { code: string }[] = ready?.body?.faults ?? []
      const state =
        ready === null ? 'no answer' : ready.status === 200 ? 'ready' : faults.map(({ code }) => code).join()
      return shown(`gateway ${index + 1}`, gateway.url, gateway.running, state, [
        'part from PostgreSQL',
        'part from RabbitMQ',
      ])
    })
    const leader = await this.#cluster.leader().catch(() => -1)
    const ofNodes = nodes.map((node, index) =>
      shown(
        `RabbitMQ ${index + 1}`,
        node.url,
        node.pid !== undefined,
        index === leader ? 'leads the queue' : 'follows',
        ['part'],
      ),
    )
    const ofDatabases = databases.servers.map(async ({ url }, index) => {
      const sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS role"
      const [row] = await queryRows<{ role: string }>(url, sql).catch(() => [])
      const more = row?.role === 'standby' ? ['promote', 'part'] : []
      return shown(`PostgreSQL ${index + 1}`, url, row !== undefined, row?.role ?? '', more)
    })
    return {
      serves: serves < 0 ? 'none' : `gateway ${serves + 1}`,
      processes: [
        shown('nginx', nginx.url, nginx.running, 'serves'),
        ...(await Promise.all(ofGateways)),
        ...ofNodes,
        ...(await Promise.all(ofDatabases)),
      ],
    }
  }

  async #act(name: string, action: string): Promise<void> {
    const { nginx, gateways, nodes, databases } = this.#cluster
    const index = Number(name.split(' ')[1]) - 1
    const joined = this.#joins.get(name)
    this.#joins.delete(name)
    await joined?.()
    if (action === 'join') return
    if (action.startsWith('part')) {
      this.#joins.set(name, await this.#part(name, action, index))
      return
    }
    if (name === 'nginx') await (action === 'kill' ? nginx.kill9() : nginx.start())
    const gateway = name.startsWith('gateway') ? gateways[index] : undefined
    if (gateway) await (action === 'kill' ? gateway.kill9() : gateway.restart())
    const node = name.startsWith('RabbitMQ') ? nodes[index] : undefined
    if (node) await (action === 'kill' ? node.kill9() : node.start())
    const server = name.startsWith('PostgreSQL') ? databases.servers[index] : undefined
    if (server && action === 'promote') await databases.failOver()
    else if (server) await (action === 'kill' ? server.kill9() : databases.start(server))
  }

  async #part(name: string, action: string, index: number): Promise<() => unknown> {
    if (name.startsWith('RabbitMQ')) return this.#cluster.partNode(index)
    if (name.startsWith('PostgreSQL')) return this.#cluster.databases.part()
    return this.#cluster.partGateway(index, action.endsWith('PostgreSQL') ? 'databases' : 'nodes')
  }
}
