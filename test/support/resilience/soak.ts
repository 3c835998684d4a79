import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../harness/wait.ts'
import { messageRows } from '../servers/database.ts'
import { startGateway } from '../servers/gateway.ts'
import { startProxy } from '../servers/proxy.ts'
import {
  type Broker,
  type ControlledBroker,
  controlledBroker,
  deleteNames,
  startBroker,
  uniqueNames,
} from '../servers/rabbitmq.ts'
import { mountTinyDisk, noTinyDisk } from '../servers/tiny-disk.ts'
import { brokerEnv } from '../stages/stage.ts'
import { faultCleared, faultNamed } from './observe.ts'
import { checkOutcome, type Outcome, storedIn } from './oracle.ts'
import { FAULT_KINDS, type FaultKind, SOAK_FAULTS, type SoakFault, type SoakStage } from './soak-faults.ts'
import type { Ledger, Round } from './soak-ledger.ts'
import { createPlan, type PlannedFault } from './soak-plan.ts'
import { SoakReader } from './soak-readers.ts'
import { nextConfirmations, openSources, type Source } from './sources.ts'

export type SoakOptions = {
  readonly seed: number
  /** How long new faults begin. */
  readonly seconds: number
  readonly kinds: readonly FaultKind[]
  /** True to start a broker of its own, which can then be killed. */
  readonly ownBroker: boolean
  /** Pause of a publisher after each confirmation. */
  readonly everyMs: number
  readonly onRound: (round: Round) => void
  /** The program that runs as the gateway; the one of this run if absent. */
  readonly entry?: string
}

const getSoakFault = (kind: FaultKind): SoakFault => SOAK_FAULTS[kind]

/** Returns the kinds that can be injected here. */
export const possibleKinds = (ownBroker: boolean): FaultKind[] => {
  const noDisk = noTinyDisk() !== null
  return FAULT_KINDS.filter((kind) => {
    const { needs } = getSoakFault(kind)
    return !(needs === 'disk' && noDisk) && !(needs === 'node' && !ownBroker)
  })
}

/** Twice the space that the messages and the database of that many seconds need. */
const diskBytes = (seconds: number): number => (96 + Math.ceil(seconds / 8)) * 1024 * 1024

/** Injects one fault, ends it, and waits until everything works again. */
const endure = async (
  stage: SoakStage,
  sources: readonly Source[],
  { kind, kill, pick, lasts, holdMs }: PlannedFault,
): Promise<Omit<Round, 'round'>> => {
  const fault = getSoakFault(kind)
  const named = typeof fault.named === 'function' ? fault.named(stage) : fault.named
  let namedMs: number | null = null
  let clearedMs: number | null = null
  const errors: string[] = []
  const attempt = (work: Promise<unknown>): Promise<unknown> =>
    work.catch((error: Error) => void errors.push(error.message))
  const startedAt = Date.now()
  const firstLine = stage.gateway.logs().length
  const end = await fault.begin(stage, pick)
  if (lasts && named !== undefined) {
    await attempt(faultNamed(stage.gateway, named, fault.isLatent ? undefined : startedAt))
    namedMs = Date.now() - startedAt
  }
  await sleep(holdMs)
  const heldMs = Date.now() - startedAt
  const endKill = kill === null ? null : await getSoakFault(kill).begin(stage, pick)
  await end()
  await endKill?.()
  const ended = Date.now()
  const endMs = ended - startedAt - heldMs
  await attempt(faultCleared(stage.gateway, ended, stage.workers))
  clearedMs = Date.now() - ended
  await attempt(nextConfirmations(sources))
  const goesOnMs = Date.now() - ended
  const lines = stage.gateway.logs().slice(firstLine)
  const error =
    errors.length === 0 ? null : [errors.join('; '), ...lines.map((line) => JSON.stringify(line))].join('\n')
  return {
    kinds: kill === null ? [kind] : [kind, kill],
    lasts: lasts && named !== undefined,
    heldMs,
    endMs,
    namedMs,
    clearedMs,
    goesOnMs,
    error,
  }
}

/** Waits until nothing is on its way, so that what is missing then is lost. */
const settle = async (stage: SoakStage): Promise<void> => {
  const { broker, gateway, names, readers } = stage
  for (const queue of [names.queue, `${names.queue}.dead`]) {
    let left: unknown
    await until(async () => (left = await broker.queueDepth(queue)) === 0, {
      what: `${queue} is empty`,
      saw: () => left,
    })
  }
  const rows = messageRows(gateway.dbFile)
  for (const reader of readers) {
    const last = rows.findLast(({ event_id }) => reader.events?.includes(event_id) ?? true)
    // The oracle reports a reader that does not arrive there.
    if (last !== undefined && last.db_id > reader.cursor) await reader.waitForId(last.db_id).catch(() => undefined)
  }
}

/** Runs until the time is over, then judges. */
const trial = async (stage: SoakStage, sources: readonly Source[], options: SoakOptions, now: { is: string }) => {
  const { seed, kinds, seconds, onRound } = options
  const { readers } = stage
  const join = (name: string, events: readonly string[] | null, cursor = 0): void =>
    void readers.push(new SoakReader(stage.gateway, name, events, cursor).start())
  const events = sources.map(({ event_id }) => event_id)
  join('all', null)
  join('two events', events.slice(0, 2))
  join('one event', events.slice(2))
  for (const source of sources) source.start()
  await nextConfirmations(sources)
  const rounds: Round[] = []
  const deadline = performance.now() + seconds * 1_000
  for (const planned of createPlan(seed, kinds).faults) {
    if (performance.now() >= deadline) break
    await sleep(planned.quietMs)
    now.is = `round ${rounds.length + 1} (${planned.kind})`
    const round = { round: rounds.length + 1, ...(await endure(stage, sources, planned)) }
    rounds.push(round)
    onRound(round)
    if (rounds.length === 2) join('late', null, readers[0]!.ids.at(-1))
  }
  now.is = 'the end'
  for (const source of sources) await source.stop()
  await settle(stage)
  const outcome: Outcome = {
    confirmed: sources.flatMap(({ confirmed }) => confirmed),
    invalid: sources.flatMap(({ invalid }) => invalid),
    ...storedIn(stage.gateway.dbFile),
    readers: readers.map((reader) => reader.outcome),
  }
  return { rounds, outcome, reconnects: readers.reduce((sum, { connections }) => sum + connections - 1, 0) }
}

/** The command that repeats a run. */
const formatCommand = ({ seed, seconds, kinds }: SoakOptions): string => {
  const all = kinds.length === FAULT_KINDS.length ? '' : ` --faults ${kinds.join()}`
  return `npm run soak -- --seed ${seed} --seconds ${seconds}${all}`
}

/**
 * Injects random faults into a gateway under load, and checks that nothing is lost and each fault is reported.
 * @throws Error with the command that repeats it if the gateway or a server does not start or stop
 */
export const soak = async (options: SoakOptions): Promise<Ledger> => {
  const { seed, seconds, kinds, ownBroker, everyMs, entry } = options
  const { workers } = createPlan(seed, kinds)
  const from = performance.now()
  const cleanUp: (() => Promise<unknown>)[] = []
  try {
    const node: Broker | null = ownBroker ? await startBroker() : null
    const broker: ControlledBroker = node ?? (await controlledBroker())
    cleanUp.push(() => broker.dispose())
    const disk = kinds.includes('disk_full') ? mountTinyDisk(diskBytes(seconds)) : null
    if (disk) cleanUp.push(() => disk.dispose())
    const proxy = await startProxy(broker.port)
    cleanUp.push(() => proxy.close())
    const names = uniqueNames('soak')
    const env = brokerEnv(`amqp://guest:guest@127.0.0.1:${proxy.port}`, names, {
      WORKERS: String(workers),
      // It must stop without reaching the deadline.
      SHUTDOWN_SECONDS: '60',
    })
    const gateway = await startGateway({ env, ...(disk && { dataDir: disk.dir }), ...(entry && { entry }) })
    cleanUp.push(() => gateway.dispose())
    if (!ownBroker) cleanUp.push(() => deleteNames(broker.url, names))
    await gateway.ready()
    const now = { is: 'the start' }
    const { exchange } = names
    const sources = openSources({ brokerUrl: broker.url, exchange, gateway, everyMs, during: () => now.is })
    const readers: SoakReader[] = []
    cleanUp.push(() => Promise.all([...sources.map((one) => one.close()), ...readers.map((one) => one.stop())]))
    const stage: SoakStage = { gateway, workers, broker, node, proxy, names, disk, readers }
    const judged = await trial(stage, sources, options, now)
    return {
      ...{ seed, workers, command: formatCommand(options), ...judged },
      seconds: (performance.now() - from) / 1_000,
      violations: checkOutcome(judged.outcome),
    }
  } catch (error) {
    throw new Error(`${(error as Error).message}\nrepeat it with: ${formatCommand(options)}`, { cause: error })
  } finally {
    for (const undo of cleanUp.reverse()) await undo()
  }
}
