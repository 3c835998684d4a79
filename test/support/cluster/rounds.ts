import { setTimeout as sleep } from 'node:timers/promises'
import { bearer } from '../clients/tokens.ts'
import { until } from '../harness/wait.ts'
import { faultNamed } from '../resilience/observe.ts'
import { checkOutcome, type Outcome } from '../resilience/oracle.ts'
import { seededRandom, shuffled } from '../resilience/random.ts'
import type { Ledger, Round } from '../resilience/soak-ledger.ts'
import { SoakReader } from '../resilience/soak-readers.ts'
import { nextConfirmations, openSources, type Source } from '../resilience/sources.ts'
import type { Gateway } from '../servers/gateway.ts'
import { queryRows } from '../servers/postgres.ts'
import { checkAccess, STREAMS_PER_TOKEN } from './access.ts'
import { type Cluster, clusterToken, openCluster } from './cluster.ts'
import { CLUSTER_KINDS, type ClusterFaultKind, type ClusterStage, getClusterFault } from './faults.ts'

export type RoundsOptions = {
  readonly seed: number
  readonly rounds: number
  readonly kinds: readonly ClusterFaultKind[]
  /** Pause of a publisher after each confirmation. */
  readonly everyMs: number
  readonly onRound: (round: Round) => void
  /** The program that runs as the gateway; the one of this run if absent. */
  readonly entry?: string
  /**
   * An older program, which the gateways start with. A rolling upgrade alternates with it, or only leaves it if its schema version is
   * lower: it does not start on newer tables.
   */
  readonly old?: string
}

type PlannedRound = { readonly kind: ClusterFaultKind; readonly pick: number; readonly holdMs: number }

/** Returns the faults of a seed: each kind comes once before any comes again. */
const planRounds = function* (seed: number, kinds: readonly ClusterFaultKind[]): Generator<PlannedRound, never> {
  const random = seededRandom(seed)
  for (;;) for (const kind of shuffled(kinds, random)) yield { kind, pick: random(), holdMs: random() * 1_000 }
}

/** Measures how long no stream has had a new message. */
class Silence {
  #last = 0
  #since = performance.now()
  #longestMs = 0

  onMessage(db_id: number): void {
    if (db_id <= this.#last) return
    this.#last = db_id
    this.#note()
  }

  /** @returns the longest silence since the last call, in milliseconds */
  take(): number {
    this.#note()
    const longest = this.#longestMs
    this.#longestMs = 0
    return longest
  }

  #note(): void {
    const now = performance.now()
    this.#longestMs = Math.max(this.#longestMs, now - this.#since)
    this.#since = now
  }
}

class Trial {
  readonly stage: ClusterStage
  readonly sources: readonly Source[]
  readonly readers: SoakReader[] = []
  readonly silence = new Silence()
  is = 'the start'
  #wandering = 0
  readonly #reported = new Set<string>()

  constructor(stage: ClusterStage, everyMs: number) {
    const { brokerUrl, names, nginx, headers } = stage.cluster
    this.stage = stage
    this.sources = openSources({
      ...{ brokerUrl, exchange: names.exchange, gateway: nginx, headers, everyMs },
      during: () => this.is,
    })
  }

  /** A reader on each host, one through nginx, and one that goes to the next host at each connection. */
  async start(): Promise<void> {
    const { gateways, nginx } = this.stage.cluster
    const events = this.sources.map(({ event_id }) => event_id)
    for (const [index, gateway] of gateways.entries()) {
      await this.join(`on gateway ${index + 1}`, gateway, events.slice(index))
    }
    await this.join('through nginx', nginx, null)
    await this.join('on any gateway', this.wanderer(), null)
    for (const source of this.sources) source.start()
    await nextConfirmations(this.sources)
  }

  /** An address that leads to the next host each time. */
  wanderer(): Pick<Gateway, 'url'> {
    const next = (): string => this.stage.cluster.gateways[this.#wandering++ % 3]!.url
    return {
      get url() {
        return next()
      },
    }
  }

  async join(name: string, at: Pick<Gateway, 'url'>, events: readonly string[] | null, cursor = 0): Promise<void> {
    const onMessage = ({ data }: { data: { db_id: number } }): void => this.silence.onMessage(data.db_id)
    // Streams are counted by the subject of their token.
    const options = { headers: bearer(await clusterToken(`reader ${name}`)), isPatient: true, onMessage }
    this.readers.push(new SoakReader(at, name, events, cursor, options).start())
  }

  /** Resolves when a message that was published from now on is stored. */
  async handedOver(sources: readonly Source[]): Promise<void> {
    await nextConfirmations(sources)
    await nextConfirmations(sources)
    for (const { event_id, confirmed } of sources) {
      const { message_id } = confirmed.at(-1)!
      const sql = 'SELECT 1 FROM message WHERE event_id = $1 AND message_id = $2'
      const { primary } = this.stage.cluster.databases
      await until(async () => (await queryRows(primary.url, sql, [event_id, message_id])).length === 1, {
        what: `${message_id} is stored while ${this.is}`,
      })
    }
  }

  /** Waits until nothing is on its way, so that what is missing then is lost. */
  async settle(): Promise<Outcome> {
    for (const source of this.sources) await source.stop()
    const { cluster } = this.stage
    let left: unknown
    await until(async () => (left = await cluster.waiting()) === 0, { what: 'empty queues', saw: () => left })
    const stored = await cluster.databases.stored()
    for (const reader of this.readers) {
      const last = stored.rows.findLast(({ event_id }) => reader.events?.includes(event_id) ?? true)
      // The oracle reports a reader that does not arrive there.
      if (last !== undefined && last.db_id > reader.cursor) await reader.waitForId(last.db_id).catch(() => undefined)
    }
    return {
      confirmed: this.sources.flatMap(({ confirmed }) => confirmed),
      invalid: this.sources.flatMap(({ invalid }) => invalid),
      ...stored,
      readers: this.readers.map((reader) => reader.outcome),
    }
  }

  /** Returns what the oracle finds and no round before it had. */
  violations(outcome: Outcome): string[] {
    const texts = checkOutcome(outcome).map(({ clause, text }) => `${clause}: ${text}`)
    const found = texts.filter((text) => !this.#reported.has(text))
    for (const text of found) this.#reported.add(text)
    return found
  }

  async stop(): Promise<void> {
    for (const source of this.sources) await source.close()
    for (const reader of this.readers) await reader.stop()
  }
}

/** Injects one fault, ends it, waits until every process serves, and judges everything so far. */
const playRound = async (trial: Trial, round: number, { kind, pick, holdMs }: PlannedRound) => {
  const { cluster } = trial.stage
  const { leaves, named, begin } = getClusterFault(kind)
  trial.is = `round ${round} (${kind})`
  const errors: string[] = []
  const attempt = (work: Promise<unknown>): Promise<unknown> =>
    work.catch((error: Error) => void errors.push(error.message))
  const active = await cluster.active()
  trial.silence.take()
  const startedAt = Date.now()
  const end = await begin(trial.stage, { active, any: Math.floor(pick * 3) })
  let namedMs: number | null = null
  if (named !== undefined) {
    const { headers, gateways } = cluster
    await attempt(faultNamed({ url: gateways[active]!.url, headers }, named, startedAt))
    namedMs = Date.now() - startedAt
  }
  const going = trial.sources.filter(({ event_id }) => leaves === 'everything' || event_id !== 'http')
  if (leaves !== 'nothing') await attempt(trial.handedOver(going))
  const handOverMs = trial.silence.take()
  await sleep(holdMs)
  const endedAt = Date.now()
  await end()
  const endMs = Date.now() - endedAt
  await attempt(cluster.ready())
  const clearedMs = Date.now() - endedAt - endMs
  await attempt(trial.handedOver(trial.sources))
  const result = {
    ...{ round, kinds: [kind], lasts: leaves !== 'nothing', namedMs, endMs, clearedMs },
    heldMs: endedAt - startedAt,
    goesOnMs: Date.now() - endedAt - endMs,
    silentMs: leaves === 'nothing' ? Math.max(handOverMs, trial.silence.take()) : handOverMs,
  }
  // The reader of all hosts comes back to the next one.
  trial.readers.find(({ name }) => name === 'on any gateway')!.drop()
  const outcome = await trial.settle()
  await attempt(checkAccess(cluster, round))
  errors.push(...trial.violations(outcome))
  return { result: { ...result, error: errors.length === 0 ? null : errors.join('; ') }, outcome }
}

const formatCommand = ({ seed, rounds, kinds, old }: RoundsOptions): string => {
  const all = kinds.length === CLUSTER_KINDS.length ? '' : ` --faults ${kinds.join()}`
  return `npm run soak -- --cluster --seed ${seed} --rounds ${rounds}${all}${old === undefined ? '' : ` --old ${old}`}`
}

const play = async (cluster: Cluster, options: RoundsOptions): Promise<Omit<Ledger, 'seconds'>> => {
  const { seed, rounds, kinds, everyMs, onRound, entry, old } = options
  const schemaVersion = async (): Promise<number | undefined> =>
    (await queryRows<{ version: number }>(cluster.databases.primary.url, 'SELECT version FROM header'))[0]?.version
  const oldVersion = await schemaVersion()
  let isOld = true
  const nextProgram = async (): Promise<string | undefined> => {
    if (old === undefined) return undefined
    isOld = !isOld && (await schemaVersion()) === oldVersion
    return isOld ? old : entry
  }
  const trial = new Trial({ cluster, nextProgram }, everyMs)
  try {
    await trial.start()
    const played: Round[] = []
    let outcome: Outcome | undefined
    for (const planned of planRounds(seed, kinds)) {
      const one = await playRound(trial, played.length + 1, planned)
      outcome = one.outcome
      played.push(one.result)
      onRound(one.result)
      if (played.length === rounds) break
      if (played.length === 2) await trial.join('late', trial.wanderer(), null, trial.readers[3]!.ids.at(-1))
      for (const source of trial.sources) source.start()
    }
    return {
      ...{ seed, workers: 1, rounds: played, outcome: outcome!, command: formatCommand(options) },
      reconnects: trial.readers.reduce((sum, { connections }) => sum + connections - 1, 0),
      violations: checkOutcome(outcome!),
    }
  } finally {
    await trial.stop()
  }
}

/**
 * Plays rounds of faults in a cluster under load: after each, nothing may be lost, doubled or missing on any stream, and
 * tickets, revocations and limits hold on every host.
 * @throws Error with the command that repeats it if a process does not start or stop
 */
export const playRounds = async (options: RoundsOptions): Promise<Ledger> => {
  const { entry, old } = options
  const from = performance.now()
  const program = old ?? entry
  const env = { MAX_STREAMS_PER_TOKEN: String(STREAMS_PER_TOKEN) }
  const cluster = await openCluster({ env, ...(program && { entry: program }) })
  try {
    const played = await play(cluster, options)
    return { ...played, seconds: (performance.now() - from) / 1_000 }
  } catch (error) {
    const logs = cluster.gateways.map((one) => one.output().trimEnd().split('\n').slice(-30).join('\n'))
    throw new Error([(error as Error).message, ...logs, `repeat it with: ${formatCommand(options)}`].join('\n'), {
      cause: error,
    })
  } finally {
    await cluster.dispose()
  }
}
