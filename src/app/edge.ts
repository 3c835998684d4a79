import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type { ResetReason } from '../core/cursor.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Revocations } from '../http/auth/revocations.ts'
import type { HealthRegistry } from '../monitoring/health.ts'
import { getIndexFile, removeIndex } from '../store/search/index-database.ts'
import type { MessageStore } from '../store/store.ts'
import type { StreamHub } from '../streams/hub.ts'
import { CoreClient } from '../upstream/core-client.ts'
import { Follower } from '../upstream/follower.ts'
import { Forwarder } from '../upstream/forwarder.ts'
import type { ForwardedRequest, ForwardedResponse, UpstreamStatus, UpstreamView } from '../upstream/status.ts'

export interface EdgeOptions {
  readonly config: Config
  readonly store: MessageStore
  readonly hub: StreamHub
  readonly health: HealthRegistry
  readonly logger: Logger
  readonly revocations: Revocations
  readonly onStored: (messages: number) => void
  readonly onStorageFault: (error: unknown) => void
  readonly onReset: (reason: ResetReason | 'other_store') => void
}

/** The part of a gateway that makes it an edge: it follows the core, and forwards what changes something. */
export class Edge implements UpstreamView {
  readonly #options: EdgeOptions
  readonly #follower: Follower
  readonly #forwarder: Forwarder
  readonly #client: CoreClient
  /** Code of the last failure of the connection; null while it is established. */
  #failure: GatewayError | null = null
  #connections = 0

  constructor(options: EdgeOptions) {
    const { config, store, hub, logger } = options
    const address = config.upstream!
    this.#options = options
    this.#forwarder = new Forwarder(address.url)
    this.#client = new CoreClient(address)
    this.#follower = new Follower({
      connection: this.#client,
      core: new URL(address.url).host,
      events: address.events,
      copy: store.copy!,
      revocations: {
        list: () => store.revocations(),
        add: (revocation) => options.revocations.add(revocation),
        remove: (subject) => options.revocations.remove(subject),
      },
      onStored: (messages) => {
        options.onStorageFault(null)
        options.onStored(messages)
      },
      onPruned: () => hub.clearHistoryCache(),
      onReset: (reason) => this.#onReset(reason),
      onLevel: (head) => this.#onLevel(head),
      onConnection: (error) => this.#onConnection(error),
      onProgress: (done, total) => logger.info({ done, total }, 'copying from the core'),
    })
  }

  get status(): UpstreamStatus {
    return this.#follower.status
  }

  get isLevel(): boolean {
    return this.#follower.isLevel
  }

  get edges(): readonly string[] {
    return this.#client.edges
  }

  /** Connections that were established. */
  get connections(): number {
    return this.#connections
  }

  /** @throws GatewayError database_not_copy or storage_* */
  async start(): Promise<void> {
    const { health } = this.#options
    await this.#follower.start()
    if (!this.#follower.isComplete)
      health.markPending('upstream', 'upstream_copying', 'The first copy has not started yet.')
  }

  async stop(): Promise<void> {
    await this.#follower.stop()
    this.#forwarder.close()
  }

  settled(): Promise<void> {
    return this.#follower.settled()
  }

  mayReach(cursor: number, readsAll: boolean): Promise<boolean> {
    return this.#follower.mayReach(cursor, readsAll)
  }

  refresh(): Promise<void> {
    return this.#follower.refresh()
  }

  async forward(request: ForwardedRequest): Promise<ForwardedResponse> {
    // It would come back, and be forwarded again.
    if (this.#failure?.code === 'upstream_cycle') throw this.#failure
    const response = await this.#forwarder.forward(request)
    // What was changed at the core, such as a revocation, is taken over without waiting for the next look.
    void this.refresh()
    return response
  }

  #onReset(reason: ResetReason | null): void {
    const { config, hub, logger, onReset } = this.#options
    logger.info({ reason: reason ?? 'other_store' }, 'the core has reset this edge; its streams start over')
    onReset(reason ?? 'other_store')
    // Its ids can have been assigned a second time.
    if (reason !== 'history_pruned') removeIndex(getIndexFile(config.databaseFile))
    hub.restart()
    this.#reportCopy()
  }

  #onLevel(head: number): void {
    this.#options.hub.endBeyond(head)
    this.#reportCopy()
  }

  #onConnection(error: GatewayError | null): void {
    const { logger, health, onStorageFault } = this.#options
    if (error !== null && /^(storage|database)_/.test(error.code)) {
      onStorageFault(error)
      return
    }
    if (error === null) this.#connections++
    const { code = null, message = '' } = this.#failure ?? {}
    this.#failure = error
    if (error === null) logger.info({ core: this.status.core }, 'connected to the core')
    else if (code !== error.code || message !== error.message) {
      logger.warn({ code: error.code, hint: error.hint, cause: error.message }, 'no connection to the core')
    }
    if (error?.code === 'internal') health.report('upstream', error)
    else this.#reportCopy()
  }

  /** An edge is ready once it has had all messages, and stays so: away from its core it serves what it has. */
  #reportCopy(): void {
    const { health } = this.#options
    if (this.#follower.isComplete) health.report('upstream', null)
    else if (this.#failure !== null) health.report('upstream', this.#failure)
    else {
      const { lag_messages } = this.status
      const missing = lag_messages === null ? '' : ` ${lag_messages} messages are missing.`
      health.markPending('upstream', 'upstream_copying', `The first copy is not complete.${missing}`)
    }
  }
}
