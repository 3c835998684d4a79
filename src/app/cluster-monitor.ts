import { hostname } from 'node:os'
import type { Logger } from 'pino'
import type { ClusterPeers } from '../cluster/worker.ts'
import type { Config } from '../config/config.ts'
import { GatewayError } from '../core/errors.ts'
import type { IngestService } from '../ingest/ingest.ts'
import { checkCluster, type DatabaseFault } from '../monitoring/cluster-checks.ts'
import {
  type ClusterReport,
  type GatewayStatus,
  mergeProcesses,
  parseGatewayStatus,
  type SeenProcess,
} from '../monitoring/cluster-report.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import type { HealthReport } from '../monitoring/report.ts'
import type { DatabaseState } from '../store/database-state.ts'
import { SCHEMA_VERSION } from '../store/migrations.ts'
import type { MessageStore } from '../store/store.ts'
import type { StreamHub } from '../streams/hub.ts'

/** Interval at which this process writes its row and reads the others, in milliseconds. */
const ANNOUNCE_MS = 3_000

export interface ClusterMonitorOptions {
  readonly config: Pick<Config, 'retention'>
  readonly version: string
  readonly store: Pick<MessageStore, 'announce' | 'now'>
  readonly health: HealthRegistry
  readonly hub: Pick<StreamHub, 'subscribers'>
  /** null without a broker. */
  readonly ingest: () => Pick<IngestService, 'consuming' | 'receivedAt'> | null
  readonly port: () => number
  /** Communication with the other workers, if there are any. */
  readonly clusterPeers: ClusterPeers | undefined
  /** Gets a warning for the operator, once per cause. */
  readonly logger: Pick<Logger, 'warn'>
}

/** What the database returned last. */
interface View {
  readonly peers: readonly { readonly status: GatewayStatus; readonly age_ms: number }[]
  readonly database: DatabaseState
  /** Time of performance.now(). */
  readonly at: number
}

/** Makes this process known to the others that share its store, and reports all of them. */
export class ClusterMonitor {
  readonly #options: ClusterMonitorOptions
  #timer: NodeJS.Timeout | undefined
  #view: View | null = null
  #fault: DatabaseFault | null = null
  #running: Promise<void> | null = null
  #warned = ''

  constructor(options: ClusterMonitorOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#options.store.announce === undefined) return
    const announce = (): void => void this.#announce()
    this.#timer = setInterval(announce, ANNOUNCE_MS)
    announce()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** The report of gateways that share a store, at most seconds old; null with SQLite, and before the first answer of the database. */
  get latest(): ClusterReport | null {
    return this.#view === null ? null : this.#report(null)
  }

  /** Returns the report. @param whole the status of all workers of this gateway */
  async report(whole: Pick<HealthReport, 'ready' | 'readers' | 'workers'>): Promise<ClusterReport> {
    if (this.#view === null) await this.#running
    return this.#report(whole)
  }

  #report(whole: Pick<HealthReport, 'ready' | 'readers' | 'workers'> | null): ClusterReport {
    const { health, store } = this.#options
    const view = this.#view
    const status = this.#status()
    const elapsed = view === null ? 0 : performance.now() - view.at
    const peers = (view?.peers ?? []).map((peer) => ({ ...peer, age_ms: peer.age_ms + elapsed, own: false }))
    const own: SeenProcess = { status, age_ms: 0, own: true }
    let gateways = mergeProcesses([own, ...peers])
    let fault = this.#fault
    if (store.announce === undefined) {
      fault = health.faults.find(({ component }) => component.startsWith('store_')) ?? null
      if (whole !== null) {
        const { live, catching_up, stalled } = whole.readers
        const all = { workers: whole.workers.length, readers: live + catching_up + stalled, ready: whole.ready }
        gateways = gateways.map((one) => ({ ...one, ...all }))
      }
    }
    const database = view?.database ?? null
    const checks = checkCluster(gateways, database, fault)
    return { safe: checks.every(({ level }) => level !== 'failed'), gateways, database, checks }
  }

  #announce(): Promise<void> {
    this.#running ??= this.#exchange().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #exchange(): Promise<void> {
    const { store, logger } = this.#options
    try {
      const { peers, database } = await store.announce!(JSON.stringify(this.#status()))
      const parsed = peers.flatMap(({ status, age_ms }) => {
        const parsedStatus = parseGatewayStatus(status)
        return parsedStatus === null ? [] : { status: parsedStatus, age_ms }
      })
      this.#view = { peers: parsed, database, at: performance.now() }
      this.#fault = null
    } catch (error) {
      const { message, hint } = error instanceof GatewayError ? error : new GatewayError('internal', String(error))
      this.#fault = { message, hint }
      return
    }
    const differs = this.#report(null).checks.find(({ check, level }) => check === 'retention' && level !== 'ok')
    const warning = differs === undefined ? '' : `${differs.text} ${differs.hint}`
    if (warning !== '' && warning !== this.#warned) logger.warn(warning)
    this.#warned = warning
  }

  #status(): GatewayStatus {
    const { config, version, store, health, hub, ingest, port, clusterPeers } = this.#options
    const consumer = ingest()
    const receivedAt = consumer?.receivedAt ?? null
    const { maxAgeMs, messagesPerEvent } = config.retention
    return {
      host: hostname(),
      port: port(),
      pid: clusterPeers === undefined ? process.pid : process.ppid,
      version,
      schema_version: SCHEMA_VERSION,
      ready: health.ready,
      consumes: consumer?.consuming ?? null,
      received_ms: receivedAt === null ? null : performance.now() - receivedAt,
      clock_offset_ms: store.now === undefined ? 0 : Date.now() - store.now(),
      retention_days: maxAgeMs === null ? null : maxAgeMs / 86_400_000,
      retention_messages_per_event: messagesPerEvent,
      readers: hub.subscribers,
    }
  }
}
