import { bearer, guarded, sign } from '../clients/tokens.ts'
import { getJson, until } from '../harness/wait.ts'
import { type Env, type Gateway, startGateway } from '../servers/gateway.ts'
import { type Nginx, startNginx } from '../servers/nginx.ts'
import { type Line, startProxy } from '../servers/proxy.ts'
import { type Broker, erlangBinary, type Names, startCluster } from '../servers/rabbitmq.ts'
import { getSampleValue, parseMetrics } from '../stages/rooms.ts'
import { brokerEnv } from '../stages/stage.ts'
import { DatabasePair } from './databases.ts'

/** Three gateways behind nginx, three nodes of RabbitMQ, and PostgreSQL with a synchronous standby. */
export type Cluster = {
  readonly nginx: Nginx
  readonly gateways: readonly Gateway[]
  readonly nodes: readonly Broker[]
  readonly databases: DatabasePair
  readonly names: Names
  /** Those of a caller with all scopes. */
  readonly headers: Record<string, string>
  /** Leads to a node that serves, for publishers. */
  readonly brokerUrl: string
  /** Cuts a gateway's lines to both databases, or to all nodes, without a word. @returns what joins them again */
  partGateway(index: number, from: 'databases' | 'nodes'): () => void
  /** Cuts a node off from the other nodes. @returns what joins them again */
  partNode(index: number): Promise<() => Promise<void>>
  /** Returns the index of the node that leads the gateways' queue. */
  leader(): Promise<number>
  /** Returns the index of the gateway that consumes, which is seen only while messages arrive. */
  active(): Promise<number>
  /** Returns the messages in the queue and in the dead-letter queue. */
  waiting(): Promise<number>
  /** Resolves when every process serves. */
  ready(): Promise<void>
  /** Ends everything in order. */
  stop(): Promise<void>
  /** Kills everything. */
  dispose(): Promise<void>
}

const NAMES: Names = {
  exchange: 'deepsoc_notifications_exchange',
  queue: 'frontend_notifications_queue',
  binding: 'notifications.frontend.#',
}

const STORED = 'gateway_messages_stored_total'

/** A token for everything, for a week. */
export const clusterToken = (sub: string): Promise<string> =>
  sign({ sub, scope: 'admin publish', events: '*', exp: Math.floor(Date.now() / 1_000) + 604_800 })

/** Addresses of loopback that no other process of the machine is likely to have. */
const createHostNames = (): ((n: number) => string) => {
  const [high, low] = [1 + ((process.pid >> 8) % 254), process.pid & 255]
  return (n) => `127.${high}.${low}.${n}`
}

const lines = (targets: readonly Parameters<typeof startProxy>[0][]): Promise<Line[]> =>
  Promise.all(targets.map((target) => startProxy(target)))

const formatAddresses = (all: readonly Line[], first: number): string =>
  all.map((_, index) => `127.0.0.1:${all[(index + first) % all.length]!.port}`).join(',')

/**
 * Starts the whole cluster, each process on an address of loopback of its own, in about a minute. Its gateways accept tokens
 * that are signed with SECRET.
 * @param entry the program of the gateways; the one of this run if absent
 */
export const openCluster = async (options: { readonly entry?: string; readonly env?: Env } = {}): Promise<Cluster> => {
  const host = createHostNames()
  const cleanUp: (() => Promise<unknown>)[] = []
  const dispose = async (): Promise<void> => {
    for (const undo of cleanUp.splice(0).reverse()) await undo()
  }
  try {
    // A node that sees only a minority of the others stops, as RabbitMQ's guide advises.
    const starting = startCluster([host(21), host(22), host(23)], 'cluster_partition_handling = pause_minority')
    starting.catch(() => undefined)
    const databases = await DatabasePair.start([host(31), host(32)])
    cleanUp.push(() => databases.dispose())
    const nodes = await starting
    cleanUp.push(() => Promise.all(nodes.map((node) => node.dispose())))
    const parted = new Set<Broker>()
    const serving = (): Broker => nodes.find((node) => node.pid !== undefined && !parted.has(node)) ?? nodes[0]!
    const balancer = await startProxy(serving)
    cleanUp.push(() => balancer.close())
    const gateways: Gateway[] = []
    const ways: Record<'databases' | 'nodes', Line[]>[] = []
    for (let index = 0; index < 3; index++) {
      const toDatabases = await lines(databases.servers.map((_, n) => () => databases.servers[n]!))
      const toNodes = await lines(nodes)
      cleanUp.push(() => Promise.all([...toDatabases, ...toNodes].map((line) => line.close())))
      ways.push({ databases: toDatabases, nodes: toNodes })
      const database = databases.primary.url.replace(/@[^/]+/, `@${formatAddresses(toDatabases, 0)}`)
      const env = brokerEnv(`amqp://guest:guest@${formatAddresses(toNodes, index)}`, NAMES, {
        ...guarded({ HOST: host(11 + index), DATABASE_URL: database, TRUSTED_PROXIES: '127.0.0.1' }),
        ...options.env,
      })
      const gateway = await startGateway({ env, ...(options.entry && { entry: options.entry }) })
      cleanUp.push(() => gateway.dispose())
      gateways.push(gateway)
    }
    const nginx = await startNginx(
      gateways.map(({ url }) => new URL(url).host),
      { host: host(1) },
    )
    cleanUp.push(() => nginx.dispose())
    /** Evaluates Erlang on a node that serves, with the queue's record in Q. */
    const ofQueue = (expression: string): Promise<string> =>
      serving().evaluate(`begin
        {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, ${erlangBinary(NAMES.queue)})),
        ${expression}
      end`)
    const headers = bearer(await clusterToken('operator'))
    const storedBy = async ({ url }: Gateway): Promise<number> =>
      getSampleValue(parseMetrics((await getJson(`${url}/metrics`, { headers })).text), STORED)
    const runningNodes = (node: Broker): Promise<string> => node.evaluate('length(rabbit_nodes:all_running())')
    const cluster: Cluster = {
      ...{ nginx, gateways, nodes, databases, names: NAMES, headers, dispose },
      brokerUrl: `amqp://guest:guest@127.0.0.1:${balancer.port}`,
      partGateway(index, from) {
        const cut = ways[index]![from]
        for (const line of cut) line.freeze()
        return () => {
          for (const line of cut) line.thaw()
        }
      },
      async partNode(index) {
        const node = nodes[index]!
        const others = nodes.filter((other) => other !== node && other.pid !== undefined)
        parted.add(node)
        // Erlang refuses nodes with another cookie, so neither end can connect again.
        const cut = others.map(({ name }) => `erlang:set_cookie('${name}', parted), erlang:disconnect_node('${name}')`)
        await node.evaluate(`begin ${cut.join(', ')} end`)
        return async () => {
          const join = others.map(({ name }) => `erlang:set_cookie('${name}', erlang:get_cookie())`)
          await node.evaluate(`begin ${join.join(', ')} end`)
          parted.delete(node)
        }
      },
      async leader() {
        const name = await until(() => ofQueue('element(2, amqqueue:get_pid(Q))'), { what: 'a leader of the queue' })
        return nodes.findIndex((node) => node.name === name.replaceAll("'", ''))
      },
      async active() {
        const stored = () => Promise.all(gateways.map((gateway) => storedBy(gateway).catch(() => 0)))
        const before = await stored()
        let grew = -1
        const consumes = async (): Promise<boolean> => {
          const now = await stored()
          grew = now.findIndex((count, index) => count > before[index]!)
          return grew >= 0
        }
        await until(consumes, { what: 'a gateway that consumes' })
        return grew
      },
      async waiting() {
        const depths = [NAMES.queue, `${NAMES.queue}.dead`].map((queue) => serving().queueDepth(queue))
        return (await Promise.all(depths)).reduce((sum, depth) => sum + depth, 0)
      },
      async ready() {
        for (const node of nodes) {
          let seen: string | undefined
          const isJoined = async (): Promise<boolean> => (seen = await runningNodes(node)) === String(nodes.length)
          await until(isJoined, { what: `${node.name} in the cluster`, saw: () => seen })
        }
        await databases.ready()
        await Promise.all(gateways.map((gateway) => gateway.ready()))
        await until(async () => (await getJson(`${nginx.url}/livez`)).status === 200, {
          what: 'an answer through nginx',
        })
      },
      async stop() {
        await nginx.dispose()
        await Promise.all(gateways.filter(({ running }) => running).map((gateway) => gateway.term()))
        await databases.stop()
        await Promise.all(nodes.map((node) => node.stop()))
        await dispose()
      },
    }
    await cluster.ready()
    return cluster
  } catch (error) {
    await dispose()
    throw error
  }
}
