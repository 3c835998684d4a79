import cluster, { type Worker } from 'node:cluster'
import type { Logger } from 'pino'
import { backoffDelay } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'
import { HealthMonitor } from '../monitoring/health-monitor.ts'
import { type ProcessMetrics, snapshotMetrics } from '../monitoring/metrics-snapshot.ts'
import { WorkerPoller } from '../monitoring/worker-poller.ts'
import { toWorkerStatus, type WorkerReply } from '../monitoring/worker-status.ts'
import { Coordinator } from './coordinator.ts'
import { type ClusterMessage, isClusterMessage, type WorkerSettings } from './messages.ts'

/** Messages of a worker that all others get. */
const BROADCASTS: ReadonlySet<ClusterMessage['gateway']> = new Set([
  'log_appended',
  'revocation',
  'session_ended',
  'store_fault',
])
const BACKOFF_MS = { minMs: 100, maxMs: 10_000 }
/** A worker that has run this long is considered stable and resets the crash backoff. */
const STABLE_AFTER_MS = 30_000
/**
 * Interval of the checks of all workers, in milliseconds. At each one, those that have counted something send their metrics: what a killed
 * worker counted afterwards is lost.
 */
const TICK_MS = 1_000
/** A worker without a message for this many ticks is reported as unresponsive. */
const UNRESPONSIVE_TICKS = 5

/** Metrics of all workers, by the id of the worker. */
export interface WorkerMetrics {
  update(worker: number, metrics: ProcessMetrics): void
  /** Keeps the counters of a worker that has exited, and returns its last ones. */
  retire(worker: number): ProcessMetrics
  /** Returns the metrics of all as Prometheus text. */
  text(): Promise<string>
}

export interface PrimaryOptions {
  readonly metrics: WorkerMetrics
  readonly workers: number
  /** A worker without a heartbeat for this long is killed; 0 disables this. In milliseconds. */
  readonly workerTimeoutMs: number
  /** Variables of the workers, with the port that all listen on and without files of secrets. */
  readonly settings: WorkerSettings
  readonly logger: Logger
  /** Maximum time from the signal to the exit, in milliseconds. */
  readonly stopMs: number
  /** Returns the identities of the files of the database, as one text; a constant if it has no files. */
  readonly databaseFiles: () => string
  /** Called once all workers listen. */
  readonly onListening: (url: string) => void
}

/**
 * The process that forks the workers. It replaces workers that exit, with backoff, relays notifications, revocations
 * and metrics, counts usage against limits for all workers, samples their status, and drains them one after another. It
 * holds no messages and serves no requests.
 *
 * A worker passes through these states:
 *
 * - starting: from the fork until `listening`. The first one starts alone; if it exits before it listens, so does the
 *   primary.
 * - running: from `listening` on. Any other worker that exits is replaced after a backoff of at most 10 s, but not while a
 *   lost file of the database is open in others. One that sends no heartbeat is reported after 5 s and killed after
 *   WORKER_TIMEOUT_SECONDS.
 * - draining: `stop` sends `stop_accepting` to all workers, then `drain` to one after another.
 * - exited: exit code 0 if it stopped in order. Workers that still run at the deadline are killed.
 */
export class ClusterPrimary {
  readonly #options: PrimaryOptions
  readonly #forkedAt = new Map<number, number>()
  /**
   * Ticks since the last message of each worker that listens. Ticks instead of time, so that a suspended machine or
   * primary adds one, and no worker is killed for it. Before it listens, a worker may check a large database for long.
   */
  readonly #missedTicks = new Map<number, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #coordinator = new Coordinator()
  readonly #poller = new WorkerPoller()
  readonly #healthMonitor: HealthMonitor
  #tickTimer: NodeJS.Timeout | undefined
  /** Names the workers that do not respond; null if all do. */
  #unresponsive: string | null = null
  #crashes = 0
  #stopping = false
  /** Number of times that a worker has started listening, replacements included. */
  #starts = 0
  /** Files of the database that each worker that listens has open. */
  readonly #openFiles = new Map<number, string>()
  #resolveExit: (code: number) => void = noop

  constructor(options: PrimaryOptions) {
    this.#options = options
    this.#healthMonitor = new HealthMonitor({ pollWorkers: () => this.#pollWorkers(), expected: options.workers })
  }

  /** Forks the workers. Resolves with an exit code only if the first worker cannot start. */
  run(): Promise<number> {
    cluster.on('message', (worker: Worker, message: unknown) => this.#onMessage(worker, message))
    cluster.on('exit', (worker: Worker, code: number | null, signal: string | null) =>
      this.#onExit(worker, code, signal),
    )
    this.#healthMonitor.start()
    this.#tickTimer = setInterval(() => this.#tick(), TICK_MS)
    // Start one worker first: it creates and checks the database, so a startup error is logged only once.
    this.#fork()
    return new Promise((resolve) => {
      this.#resolveExit = resolve
    })
  }

  /** Drains the workers one by one, so that the last streams end after half the time. @returns the exit code */
  async stop(): Promise<number> {
    this.#stopping = true
    this.#healthMonitor.stop()
    clearInterval(this.#tickTimer)
    for (const timer of this.#timers) clearTimeout(timer)
    const workers = this.#workers()
    for (const worker of workers) send(worker, { gateway: 'stop_accepting' })
    const deadline = Date.now() + this.#options.stopMs
    const shareMs = this.#options.stopMs / 2 / Math.max(1, workers.length)
    const exits = workers.map(
      (worker) => new Promise<boolean>((resolve) => worker.once('exit', (code) => resolve(code === 0))),
    )
    for (const [index, worker] of workers.entries()) {
      send(worker, { gateway: 'drain' })
      await Promise.race([exits[index], sleep(shareMs)])
    }
    const exited = await Promise.race([Promise.all(exits), sleep(deadline - Date.now())])
    if (exited === undefined) this.kill()
    return exited?.every(Boolean) ? 0 : 1
  }

  /** Kills the workers immediately. */
  kill(): void {
    for (const worker of this.#workers()) worker.process.kill('SIGKILL')
  }

  #workers(): Worker[] {
    // node:cluster keeps those whose process could not be created.
    return Object.values(cluster.workers ?? {}).filter((worker) => worker?.process.pid !== undefined) as Worker[]
  }

  /** True if the worker listens and sends messages. */
  #responds({ id }: Worker): boolean {
    return (this.#missedTicks.get(id) ?? UNRESPONSIVE_TICKS) < UNRESPONSIVE_TICKS
  }

  #tick(): void {
    const { workerTimeoutMs, logger } = this.#options
    for (const worker of this.#workers()) {
      const missed = this.#missedTicks.get(worker.id)
      if (missed === undefined) continue
      const ticks = missed + 1
      this.#missedTicks.set(worker.id, ticks)
      if (workerTimeoutMs === 0 || ticks !== Math.ceil(workerTimeoutMs / TICK_MS) + 1) continue
      logger.warn({ pid: worker.process.pid, timeout_ms: workerTimeoutMs }, 'worker does not respond, killing it')
      worker.process.kill('SIGKILL')
    }
    this.#reportUnresponsive()
    for (const worker of this.#workers()) if (this.#responds(worker)) send(worker, { gateway: 'worker_status', id: 0 })
  }

  /** Names the workers that do not respond to the others, whose /readyz reports it. */
  #reportUnresponsive(): void {
    const unresponsive = this.#workers().filter((worker) => this.#missedTicks.has(worker.id) && !this.#responds(worker))
    const names = unresponsive.map(({ id, process: { pid } }) => `Worker ${id} (pid ${pid}) does not respond.`)
    const text = names.length === 0 ? null : names.join(' ')
    if (text === this.#unresponsive) return
    this.#unresponsive = text
    if (text !== null)
      this.#options.logger.warn({ pids: unresponsive.map(({ process: { pid } }) => pid) }, 'workers do not respond')
    for (const worker of this.#workers()) if (this.#responds(worker)) send(worker, { gateway: 'unresponsive', text })
  }

  /** Polls the workers that respond; of the others nothing is known. */
  async #pollWorkers(): Promise<WorkerReply[]> {
    const replies = await this.#poller.poll(
      this.#workers()
        .filter((worker) => this.#responds(worker))
        .map((worker) => ({
          worker: worker.id,
          pid: worker.process.pid ?? 0,
          request: (id) => send(worker, { gateway: 'worker_status', id }),
        })),
    )
    // Those that have exited meanwhile are counted as such.
    return this.#workers().map(
      ({ id, process: { pid = 0 } }) =>
        replies.find(({ worker }) => worker === id) ?? { worker: id, pid, status: null },
    )
  }

  #fork(): void {
    const { settings } = this.#options
    // Each thread of the worker reads it, so it cannot be part of the message.
    const worker = cluster.fork({ NATIVE_MODULE_DIR: settings.NATIVE_MODULE_DIR ?? '' })
    // Not in the environment, where other processes of the user could read secrets that are kept in files.
    send(worker, { gateway: 'settings', settings })
    this.#forkedAt.set(worker.id, Date.now())
    worker.on('error', (error) => {
      this.#options.logger.warn({ err: error, pid: worker.process.pid }, 'worker error')
      // A process that could not be created, for example without a free descriptor, has no `exit`.
      if (worker.process.pid === undefined) this.#onExit(worker, null, null)
    })
  }

  #onMessage(sender: Worker, message: unknown): void {
    if (!isClusterMessage(message)) return
    if (this.#missedTicks.has(sender.id)) this.#missedTicks.set(sender.id, 0)
    if (BROADCASTS.has(message.gateway)) {
      for (const worker of this.#workers()) if (worker !== sender) send(worker, message)
    } else if (message.gateway === 'metrics') {
      void this.#pollWorkers()
        .then(() => this.#options.metrics.text())
        .then(
          (text) => send(sender, { ...message, text }),
          (error: unknown) => this.#options.logger.warn({ err: error }, 'failed to collect worker metrics'),
        )
    } else if (message.gateway === 'worker_status') {
      if (message.report === undefined) return
      this.#options.metrics.update(sender.id, message.report.metrics)
      this.#poller.onReply(message.id, sender.id, toWorkerStatus(message.report))
    } else if (message.gateway === 'health_report') {
      void this.#healthMonitor.report(message.after).then((report) => send(sender, { ...message, report }))
    } else if (message.gateway === 'coordinator_request') {
      const responses = message.requests.map((request) =>
        this.#coordinator.handle(request, sender.id, performance.now()),
      )
      send(sender, { gateway: 'coordinator_response', id: message.id, responses })
    } else if (message.gateway === 'listening' && this.#forkedAt.has(sender.id)) this.#onListening(sender, message.url)
  }

  /** The first worker that listens lets the others start; the last one completes the startup. */
  #onListening(worker: Worker, url: string): void {
    this.#missedTicks.set(worker.id, 0)
    if (this.#unresponsive !== null) send(worker, { gateway: 'unresponsive', text: this.#unresponsive })
    this.#starts++
    this.#openFiles.set(worker.id, this.#options.databaseFiles())
    // It had completed its start before it was told to stop.
    if (this.#stopping) return
    if (this.#starts === 1) for (let count = 1; count < this.#options.workers; count++) this.#fork()
    if (this.#starts === this.#options.workers) this.#options.onListening(url)
  }

  #retire(worker: Worker): void {
    this.#healthMonitor.onExit(worker.process.pid ?? 0, snapshotMetrics(this.#options.metrics.retire(worker.id)))
  }

  #onExit(worker: Worker, code: number | null, signal: string | null): void {
    const uptimeMs = Date.now() - (this.#forkedAt.get(worker.id) ?? 0)
    this.#forkedAt.delete(worker.id)
    this.#missedTicks.delete(worker.id)
    this.#openFiles.delete(worker.id)
    // Its last messages can arrive after its exit.
    if (worker.isConnected()) worker.once('disconnect', () => this.#retire(worker))
    else this.#retire(worker)
    this.#coordinator.releaseOwner(worker.id)
    if (this.#stopping) return
    if (this.#starts === 0) {
      // The worker has already logged why it cannot start. One that got a signal exits with 0, but the gateway has not been stopped.
      this.#resolveExit(code || 1)
      return
    }
    this.#crashes = uptimeMs > STABLE_AFTER_MS ? 0 : this.#crashes + 1
    const delay = backoffDelay(this.#crashes, BACKOFF_MS, Math.random())
    this.#options.logger.warn(
      { pid: worker.process.pid, code, signal, delay_ms: Math.round(delay) },
      'worker exited, restarting',
    )
    this.#forkAfter(delay)
  }

  #forkAfter(delay: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      // A new worker would open other files than the running ones, and both would give out the same ids.
      const files = this.#options.databaseFiles()
      if ([...this.#openFiles.values()].some((open) => open !== files)) {
        this.#options.logger.warn(
          { code: 'database_replaced' },
          'worker not restarted: a file of the database was lost',
        )
        this.#forkAfter(BACKOFF_MS.maxMs)
      } else this.#fork()
    }, delay)
    this.#timers.add(timer)
  }
}

/** Sends a message. Errors are ignored, since `exit` reports a worker that exits meanwhile. */
const send = (worker: Worker, message: ClusterMessage): void => {
  if (worker.isConnected()) worker.send(message, noop)
}

const sleep = (ms: number): Promise<undefined> =>
  new Promise((resolve) => {
    setTimeout(resolve, Math.max(0, ms), undefined).unref()
  })
