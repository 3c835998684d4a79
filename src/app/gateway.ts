import type { Logger } from 'pino'
import type { ClusterPeers } from '../cluster/worker.ts'
import { type Config, type GatewayMode, getGatewayMode } from '../config/config.ts'
import type { ResetReason } from '../core/cursor.ts'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import { createApp, ROUTES } from '../http/app.ts'
import { createMetricsHandler } from '../http/routes/health.ts'
import type { HealthReportOptions } from '../http/routes/health-report.ts'
import { CertificateManager } from '../http/server/certificate-manager.ts'
import { HttpServer } from '../http/server/http-server.ts'
import { StreamFastPath } from '../http/server/stream-fast-path.ts'
import { ExchangePublisher } from '../ingest/exchange-publisher.ts'
import { IngestService } from '../ingest/ingest.ts'
import { HealthRegistry } from '../monitoring/health.ts'
import { type HealthMonitor, monitorSingleProcess } from '../monitoring/health-monitor.ts'
import { collectWorkerReport, type WorkerReport } from '../monitoring/worker-status.ts'
import { withTimeout } from '../platform/with-timeout.ts'
import { ChangeNotifier } from '../store/change-notifier.ts'
import { DamageLatch } from '../store/damage-latch.ts'
import { openStore } from '../store/open-store.ts'
import type { RetentionJob } from '../store/retention.ts'
import { retryStart } from '../store/retry-start.ts'
import type { MessageSearch } from '../store/search/search.ts'
import type { MessageStore, StoreCallbacks } from '../store/store.ts'
import { StreamHub } from '../streams/hub.ts'
import { sumCounters } from '../telemetry/cluster-metrics.ts'
import { createMetrics, type Metrics } from '../telemetry/metrics.ts'
import { Tracing } from '../telemetry/tracing.ts'
import { type AccessControl, createAccessControl } from './access-control.ts'
import { ClusterMonitor } from './cluster-monitor.ts'
import { Edge } from './edge.ts'
import { logHealthChanges } from './health-log.ts'
import { type CommitListener, instrumentAppend, recordCommit, recordExchange } from './ingest-metrics.ts'
import { createExchangePublisher, createStorePublisher } from './publishers.ts'
import { createQuarantineService } from './quarantine-service.ts'
import { createRetention } from './retention.ts'
import { createSearch } from './search.ts'
import { StoreMonitor } from './store-monitor.ts'

export interface GatewayOptions extends StoreCallbacks {
  readonly config: Config
  readonly logger: Logger
  readonly version: string
  /** Store to use instead of the configured one. The gateway starts and stops it. */
  readonly store?: MessageStore
  /** Notifier to use instead of a new one. */
  readonly changes?: ChangeNotifier
  /** Returns the text for /metrics, if it includes other processes. */
  readonly metricsText?: () => Promise<string>
  /** Returns the status of all workers, if there are several. */
  readonly healthReport?: HealthReportOptions['report']
  /** True if other workers listen on the same port. */
  readonly reusePort?: boolean
  /** Communication with the other workers. */
  readonly clusterPeers?: ClusterPeers
}

/** Composes one worker. Components start in data-flow order and stop in reverse. */
export class Gateway {
  readonly #config: Config
  readonly #logger: Logger
  readonly #store: MessageStore
  readonly #changes: ChangeNotifier
  readonly #health: HealthRegistry
  readonly #storeMonitor: StoreMonitor
  readonly #metrics: Metrics
  readonly #tracing: Tracing
  readonly #append: MessageStore['append']
  readonly #onCommitted: CommitListener
  readonly #hub: StreamHub
  readonly #cluster: ClusterMonitor
  readonly #retention: RetentionJob
  readonly #edge: Edge | null = null
  readonly #search: MessageSearch | null
  readonly #access: AccessControl
  readonly #certificates: CertificateManager | null
  readonly #healthMonitor: HealthMonitor | null
  readonly #server: HttpServer
  readonly #metricsServer: HttpServer | null = null
  readonly #ingest: IngestService | null = null
  readonly #publisher: ExchangePublisher | null = null
  #closing: Promise<unknown> | null = null

  constructor(options: GatewayOptions) {
    const { config, logger, version, store, changes, metricsText, reusePort = false, clusterPeers } = options
    this.#config = config
    this.#changes = changes ?? new ChangeNotifier()
    this.#logger = logger
    const damage = new DamageLatch()
    this.#store =
      store ??
      openStore(config, {
        damage,
        onAppended: () => this.#changes.emit(),
        // Ignored: the next periodic check reports the same failure and retries.
        onRevoked: () => void this.#access.revocations.refresh().catch(noop),
        onSessionEnd: (tokenId) => this.#access.closeSession(tokenId),
        onWarning: (text) => logger.warn(text),
        onUnusable: options.onUnusable,
      })
    this.#health = new HealthRegistry(logHealthChanges(logger, () => this.#metrics))
    this.#storeMonitor = new StoreMonitor({
      store: this.#store,
      damage,
      health: this.#health,
      peers: clusterPeers,
      // Reload revocations that another host changed and whose notification was lost.
      onChecked: async () => {
        if (config.postgres !== null) await this.#access.revocations.refresh()
      },
      othersServe: () => this.#ingest?.othersConsume ?? false,
      onCutOff: () => this.#hub.moveAll(),
    })
    this.#hub = new StreamHub({
      ...config,
      store: this.#store,
      changes: this.#changes,
      maxAgeMs: config.streamMaxMs,
      onFault: (error) => this.#storeMonitor.report('store_read', error),
      onClosing: (reason) => this.#metrics.closed.inc({ reason }),
    })
    const parts = { logger, store: this.#store, hub: this.#hub, health: this.#health, clusterPeers }
    const running = { ingest: () => this.#ingest, port: () => this.#server.port }
    this.#cluster = new ClusterMonitor({ ...parts, ...running, config, version })
    this.#certificates = config.tls === null ? null : new CertificateManager({ files: config.tls, logger })
    this.#metrics = createMetrics({
      version,
      mode: this.mode,
      hubStats: () => this.#hub.stats,
      subscribers: () => this.#hub.subscribersByState(),
      queue: () => this.#ingest?.queue ?? null,
      size: async () => this.#store.size?.() ?? null,
      search: () => this.#search?.status ?? null,
      upstream: () => this.#edge,
      clockOffset: () => (this.#store.now === undefined ? null : Date.now() - this.#store.now()),
      faults: () => this.#health.faults,
      cluster: () => this.#cluster.latest,
      connections: () => this.#server.connections,
      certificateExpiry: this.#certificates && (() => this.#certificates!.current.expiresAt / 1_000),
      routes: ROUTES,
    })
    this.#tracing = new Tracing({ config: config.tracing, version, logger })
    this.#append = instrumentAppend(this.#store, this.#metrics)
    this.#onCommitted = recordCommit({ metrics: this.#metrics, logger, changes: this.#changes })
    this.#retention = createRetention(config, this.#store, this.#hub, logger)
    this.#search = createSearch(config, this.#store, logger)
    const onStorageFault = (error: unknown) => this.#storeMonitor.report('store_write', error)
    if (config.broker !== null) {
      this.#ingest = new IngestService({
        ...config,
        ...config.broker,
        ...recordExchange(this.#metrics, logger),
        checkStore: () => this.#store.check(true),
        health: this.#health,
        append: this.#append,
        onCommitted: this.#onCommitted,
        onLag: (seconds, reference) => this.#metrics.lag.observe({ reference }, seconds),
        onStorageFault,
        onWarning: (text) => logger.warn(text),
        tracer: this.#tracing.tracer,
      })
      this.#publisher = new ExchangePublisher({ ...config, ...config.broker, health: this.#health })
    }
    this.#access = createAccessControl({ ...parts, config })
    const metrics = {
      metricsText: metricsText ?? (() => this.#metrics.registry.metrics()),
      metricsType: this.#metrics.registry.contentType,
      onResponse: this.#metrics.onResponse,
    }
    this.#healthMonitor = options.healthReport === undefined ? monitorSingleProcess(() => this.status()) : null
    const { limits, metricsPort } = config
    const onStored = (messages: number): void => {
      this.#metrics.stored.inc(messages)
      this.#changes.notify()
    }
    if (config.upstream !== null) {
      const onReset = (reason: string) => this.#metrics.upstreamResets.inc({ reason })
      this.#edge = new Edge({ ...parts, ...this.#access, config, onStored, onStorageFault, onReset })
    }
    const streams = {
      ...config,
      ...this.#access,
      ...metrics,
      ...parts,
      upstream: this.#edge,
      onReset: (reason: ResetReason) => this.#metrics.resets.inc({ reason }),
    }
    const fastPath = new StreamFastPath({ ...streams, headersMs: limits.headersMs })
    const app = createApp({
      ...streams,
      fastPathErrors: fastPath.errors,
      listRevocations: () => this.#store.revocations(),
      authEnabled: config.tokens !== null,
      onDenied: (code) => this.#metrics.denied.inc({ code }),
      publisher:
        this.#publisher === null
          ? createStorePublisher(this.#append, this.#onCommitted, onStorageFault)
          : createExchangePublisher(this.#publisher),
      tracer: this.#tracing.tracer,
      mode: this.mode,
      version,
      search: this.#search,
      cluster: (whole) => this.#cluster.report(whole),
      report: options.healthReport ?? ((after) => this.#healthMonitor!.report(after)),
      quarantine: createQuarantineService({ ...config, store: this.#store, onStored, onStorageFault }),
    })
    const server = { ...config, proxies: this.#access.proxies, reusePort, certificate: null }
    const certificate = this.#certificates?.current ?? null
    const onFault = (error: GatewayError | null) => this.#health.report('connections', error)
    this.#server = new HttpServer({ ...server, certificate, handler: app.callback(), fastPath, onFault })
    if (metricsPort !== null) {
      const handler = createMetricsHandler(metrics)
      this.#metricsServer = new HttpServer({ ...server, port: metricsPort, basePath: '', handler })
    }
  }

  get mode(): GatewayMode {
    return getGatewayMode(this.#config)
  }

  /** The port that the server listens on; valid once started. */
  get port(): number {
    return this.#server.port
  }

  /** @throws GatewayError database_* or listen_failed; everything is stopped again in that case */
  async start(): Promise<void> {
    await this.#store.start()
    try {
      await this.#tracing.start()
      const onWarning = (text: string) => this.#logger.warn(text)
      const parts = [this.#hub, this.#access, ...(this.#edge === null ? [] : [this.#edge])]
      for (const part of parts) await retryStart(() => part.start(), { onWarning })
      await this.#metricsServer?.listen()
      await this.#server.listen()
    } catch (error) {
      await this.#metricsServer?.stopAccepting()
      await this.#edge?.stop()
      this.#access.stop()
      await this.#hub.stop()
      await this.#store.stop()
      throw error
    }
    if (this.#config.broker !== null) {
      for (const component of ['consumer', 'publisher']) {
        this.#health.markPending(component, 'broker_unreachable', 'not connected yet')
      }
    }
    this.#publisher?.start()
    this.#ingest?.start()
    this.#retention.start()
    this.#search?.start()
    this.#metrics.eventLoopDelay.start()
    this.#certificates?.start((certificate) => this.#server.replaceCertificate(certificate))
    this.#healthMonitor?.start()
    this.#storeMonitor.start()
    this.#cluster.start()
  }

  /** Returns the current status of this process. */
  readonly status = (): Promise<WorkerReport> => collectWorkerReport(this.#health, this.#metrics.registry)

  /** Returns a number that grows with all that this process counts. */
  readonly counted = (): Promise<number> => sumCounters(this.#metrics.registry)

  /** Reports workers that do not respond; null if all do. */
  reportWorkers(error: GatewayError | null): void {
    this.#health.report('workers', error)
  }

  /** Marks the gateway as not ready and refuses new connections. Open ones continue. */
  stopAccepting(): void {
    this.#health.markFailed('gateway', new GatewayError('shutting_down', 'The gateway is stopping.'))
    this.#closing ??= Promise.all([this.#server.stopAccepting(), this.#metricsServer?.stopAccepting()])
  }

  /**
   * Stops consumer, batch, streams and store, in this order (I2): the gateway becomes not ready, deliveries stop, the
   * current batch is committed and acknowledged, streams end with `closing`, and the store is closed.
   */
  async stop(): Promise<void> {
    this.stopAccepting()
    const timers = [this.#storeMonitor, this.#cluster, this.#healthMonitor, this.#certificates, this.#access]
    for (const one of [...timers, this.#metrics.eventLoopDelay]) one?.stop()
    // A hanging store or broker must not keep the streams from being closed properly.
    await withTimeout(this.#config.shutdownMs / 2, Promise.resolve(this.#ingest?.stop()))
    await this.#edge?.stop()
    await this.#retention.stop()
    await this.#hub.stop()
    await this.#closing
    // Only now, since requests that were accepted before publish their messages meanwhile.
    await this.#publisher?.stop()
    await this.#tracing.stop()
    // Before the store: the last connection to close must be able to write.
    await this.#search?.stop()
    await this.#store.stop()
  }
}
