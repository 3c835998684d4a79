import type { NamedFault } from '../resilience/observe.ts'
import type { Cluster } from './cluster.ts'

type Undo = () => Promise<unknown> | unknown

/** What the faults of a cluster act on. */
export type ClusterStage = {
  readonly cluster: Cluster
  /** Returns the program of the next rolling upgrade; undefined for the one that runs. */
  readonly nextProgram: () => Promise<string | undefined>
}

/** Indexes of the gateways and nodes that a fault acts on. */
export type Victims = {
  /** Index of the gateway that consumes. */
  readonly active: number
  /** Index of any gateway or node. */
  readonly any: number
}

export type ClusterFault = {
  /** What goes on meanwhile: all of it, without requests through nginx, or nothing, since each commit waits. */
  readonly leaves: 'everything' | 'without http' | 'nothing'
  /** What the active gateway then reports. */
  readonly named?: NamedFault
  /** Begins the fault. @returns what ends it */
  begin(stage: ClusterStage, victims: Victims): Promise<Undo> | Undo
}

const STANDBY_GONE: NamedFault = { component: 'store_write', code: 'database_standby_unavailable' }

const killGateway = async ({ cluster }: ClusterStage, index: number): Promise<Undo> => {
  const gateway = cluster.gateways[index]!
  await gateway.kill9()
  return () => gateway.restart()
}

const killNode = async ({ cluster }: ClusterStage, index: number): Promise<Undo> => {
  const node = cluster.nodes[index]!
  await node.kill9()
  return () => node.start()
}

/** Every fault that rounds can inject into a cluster, by its name in `--faults`. */
export const CLUSTER_FAULTS = {
  active_gateway_killed: { leaves: 'everything', begin: (stage, { active }) => killGateway(stage, active) },
  gateway_killed: { leaves: 'everything', begin: (stage, { any }) => killGateway(stage, any) },
  leader_killed: {
    leaves: 'everything',
    begin: async (stage) => killNode(stage, await stage.cluster.leader()),
  },
  node_killed: { leaves: 'everything', begin: (stage, { any }) => killNode(stage, any) },
  primary_killed: {
    leaves: 'everything',
    async begin({ cluster: { databases } }) {
      await databases.failOver()
      return () => databases.start(databases.standby)
    },
  },
  primary_restarted: {
    leaves: 'nothing',
    async begin({ cluster: { databases } }) {
      await databases.primary.kill9()
      return () => databases.primary.start()
    },
  },
  standby_killed: {
    leaves: 'nothing',
    named: STANDBY_GONE,
    async begin({ cluster: { databases } }) {
      const { standby } = databases
      await standby.kill9()
      return () => standby.start()
    },
  },
  nginx_killed: {
    leaves: 'without http',
    async begin({ cluster: { nginx } }) {
      await nginx.kill9()
      return () => nginx.start()
    },
  },
  gateway_database_parted: {
    leaves: 'everything',
    named: { component: 'store_write', code: 'database_unreachable' },
    begin: ({ cluster }, { active }) => cluster.partGateway(active, 'databases'),
  },
  gateway_broker_parted: {
    // nginx sends what changes something to no second gateway.
    leaves: 'without http',
    named: { component: 'consumer', code: 'broker_unreachable' },
    begin: ({ cluster }, { active }) => cluster.partGateway(active, 'nodes'),
  },
  node_parted: { leaves: 'everything', begin: ({ cluster }, { any }) => cluster.partNode(any) },
  leader_parted: {
    leaves: 'everything',
    begin: async ({ cluster }) => cluster.partNode(await cluster.leader()),
  },
  databases_parted: {
    leaves: 'nothing',
    named: STANDBY_GONE,
    begin: ({ cluster }) => cluster.databases.part(),
  },
  rolling_upgrade: {
    leaves: 'everything',
    async begin({ cluster, nextProgram }) {
      const program = await nextProgram()
      for (const [index, gateway] of cluster.gateways.entries()) {
        const { code } = await gateway.term()
        if (code !== 0) throw new Error(`gateway ${index + 1} ended with ${code} after SIGTERM`)
        await gateway.restart({}, program)
        await gateway.ready()
      }
      return () => undefined
    },
  },
  rolling_broker_restart: {
    leaves: 'everything',
    async begin({ cluster }) {
      for (const node of cluster.nodes) {
        await node.stop()
        await node.start()
        await cluster.ready()
      }
      return () => undefined
    },
  },
} satisfies Record<string, ClusterFault>

export type ClusterFaultKind = keyof typeof CLUSTER_FAULTS

export const CLUSTER_KINDS = Object.keys(CLUSTER_FAULTS) as ClusterFaultKind[]

export const getClusterFault = (kind: ClusterFaultKind): ClusterFault => CLUSTER_FAULTS[kind]
