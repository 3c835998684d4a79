import { isRunning } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'
import { holdWriteLock } from '../servers/database.ts'
import { type Gateway, listWorkerPids } from '../servers/gateway.ts'
import type { Line } from '../servers/proxy.ts'
import { type Broker, type ControlledBroker, erlangBinary, type Names, withChannel } from '../servers/rabbitmq.ts'
import type { TinyDisk } from '../servers/tiny-disk.ts'
import { metric } from '../stages/rooms.ts'
import type { NamedFault } from './observe.ts'
import type { SoakReader } from './soak-readers.ts'

/** What the faults of a soak act on. */
export type SoakStage = {
  readonly gateway: Gateway
  readonly workers: number
  readonly broker: ControlledBroker
  /** The broker's process, if it belongs to this soak alone. */
  readonly node: Broker | null
  /** Between the gateway and the broker. */
  readonly proxy: Line
  readonly names: Names
  readonly disk: TinyDisk | null
  readonly readers: SoakReader[]
}

type Undo = () => Promise<unknown> | unknown

export type SoakFault = {
  /** What it needs beside a gateway, a database and a proxied broker. */
  readonly needs?: 'node' | 'disk'
  /** What is in /readyz and the metrics if it lasts; absent if it passes by itself or has no component. */
  readonly named?: NamedFault | ((stage: SoakStage) => NamedFault | undefined)
  /** True if the gateway meets the fault only later, so that the time until its report counts from no known moment. */
  readonly isLatent?: boolean
  /** Begins the fault. @param pick from 0 up to 1, to choose a victim. @returns what ends it */
  begin(stage: SoakStage, pick: number): Promise<Undo> | Undo
}

const BROKER_LOST: NamedFault = { component: 'consumer', code: 'broker_unreachable' }

const choose = <T>(values: readonly T[], pick: number): T => values[Math.floor(pick * values.length)]!

/** A worker process, or the only process. */
const chooseVictim = ({ gateway, workers }: SoakStage, pick: number): number =>
  workers === 1 ? gateway.pid : choose(listWorkerPids(gateway), pick)

/** Resolves when the gateway has all its workers again: how long a process takes to start depends on the machine. */
const replaced = async ({ gateway, workers }: SoakStage): Promise<void> => {
  await until(async () => (await metric(gateway, 'gateway_workers')) === workers, { what: 'a new worker' })
  await gateway.ready()
}

const restarted = async ({ gateway }: SoakStage): Promise<void> => {
  await gateway.restart()
  await gateway.ready()
}

/** Every fault that a soak can inject, by its name in `--faults`. */
export const SOAK_FAULTS = {
  worker_killed: {
    async begin(stage, pick) {
      const { gateway, workers } = stage
      if (workers === 1) {
        await gateway.kill9()
        return () => restarted(stage)
      }
      const pid = chooseVictim(stage, pick)
      process.kill(pid, 'SIGKILL')
      await until(() => gateway.logs().some((line) => line.msg === 'worker exited, restarting' && line.pid === pid), {
        what: `the log line about worker ${pid}`,
      })
      return () => replaced(stage)
    },
  },
  gateway_killed: {
    async begin(stage) {
      await stage.gateway.kill9()
      return () => restarted(stage)
    },
  },
  gateway_restarted: {
    async begin(stage) {
      const { code } = await stage.gateway.term()
      if (code !== 0) throw new Error(`the gateway ended with ${code} after SIGTERM`)
      return () => restarted(stage)
    },
  },
  worker_frozen: {
    named: ({ workers }) => (workers === 1 ? undefined : { component: 'workers', code: 'worker_unresponsive' }),
    begin(stage, pick) {
      const pid = chooseVictim(stage, pick)
      process.kill(pid, 'SIGSTOP')
      // It can have been killed as unresponsive meanwhile.
      return () => !isRunning(pid) || process.kill(pid, 'SIGCONT')
    },
  },
  connections_dropped: {
    begin({ proxy }) {
      proxy.reset()
      return () => undefined
    },
  },
  connection_silent: {
    named: BROKER_LOST,
    begin({ proxy }) {
      proxy.freeze()
      return () => proxy.thaw()
    },
  },
  broker_killed: {
    needs: 'node',
    named: BROKER_LOST,
    async begin({ node }) {
      await node!.kill9()
      return () => node!.start()
    },
  },
  broker_restarted: {
    needs: 'node',
    named: BROKER_LOST,
    async begin({ node }) {
      await node!.stop()
      return () => node!.start()
    },
  },
  broker_frozen: {
    needs: 'node',
    named: BROKER_LOST,
    begin({ node }) {
      node!.freeze()
      return () => node!.thaw()
    },
  },
  binding_deleted: {
    async begin({ broker, names: { exchange, queue, binding } }) {
      await withChannel(broker.url, (channel) => channel.queueUnbind({ exchange, queue, routingKey: binding }))
      return () => undefined
    },
  },
  consumer_cancelled: {
    async begin({ broker, names: { queue } }) {
      // RabbitMQ cancels consumers of a queue that ends, which would lose messages. So its channel sends the frame alone.
      await broker.evaluate(`begin
        {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, ${erlangBinary(queue)})),
        [begin
          {dictionary, Dictionary} = process_info(element(1, C), dictionary),
          [Supervisor | _] = proplists:get_value('$ancestors', Dictionary),
          {writer, Writer, _, _} = lists:keyfind(writer, 1, supervisor2:which_children(Supervisor)),
          rabbit_writer:send_command(Writer, {'basic.cancel', element(2, C), true})
        end || C <- rabbit_amqqueue:consumers(Q)]
      end`)
      return () => undefined
    },
  },
  write_lock_held: {
    named: { component: 'store_write', code: 'storage_busy' },
    begin({ gateway }) {
      const lock = holdWriteLock(gateway.dbFile)
      return () => lock.release()
    },
  },
  disk_full: {
    needs: 'disk',
    named: { component: 'store_write', code: 'storage_unavailable' },
    // Commits succeed as long as they fit into the space that the -wal has already.
    isLatent: true,
    begin({ disk }) {
      disk!.fill()
      return () => disk!.free()
    },
  },
  reader_paused: {
    begin({ readers }, pick) {
      const reader = choose(readers, pick)
      reader.pause()
      return () => reader.resume()
    },
  },
  reader_disconnected: {
    begin({ readers }) {
      for (const reader of readers) reader.drop()
      return () => undefined
    },
  },
} satisfies Record<string, SoakFault>

export type FaultKind = keyof typeof SOAK_FAULTS

export const FAULT_KINDS = Object.keys(SOAK_FAULTS) as FaultKind[]
