import { parseCursor } from '../../../src/core/cursor.ts'
import type { EdgeState } from '../../../src/core/edge-state.ts'
import { GatewayError } from '../../../src/core/errors.ts'
import type { NewMessage } from '../../../src/core/message.ts'
import { encodeHelloEvent, encodeResetEvent } from '../../../src/core/sse.ts'
import { createFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import type { Access } from '../../../src/http/auth/authorize.ts'
import { resolveStart } from '../../../src/http/routes/messages.ts'
import { ChangeNotifier } from '../../../src/store/change-notifier.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import type { Revocation } from '../../../src/store/store.ts'
import type { PrunedBound } from '../../../src/store/store-copy.ts'
import { StreamHub } from '../../../src/streams/hub.ts'
import type { StreamSink } from '../../../src/streams/subscriber.ts'
import type { CoreConnection } from '../../../src/upstream/core-client.ts'
import { Follower } from '../../../src/upstream/follower.ts'
import type { UpstreamView } from '../../../src/upstream/status.ts'
import { fastDir } from '../servers/fast-dir.ts'
import { fresh, newEntry } from './entries.ts'

/** A store and the hub over it, as a gateway has them. */
export class Node {
  readonly changes = new ChangeNotifier()
  readonly store: SqliteStore
  readonly hub: StreamHub
  /** Set if this node is an edge. */
  upstream: UpstreamView | null = null

  constructor(file: string, edge: boolean) {
    this.store = new SqliteStore({ file, newLogId: fresh('log'), now: 1, inlineWriter: {}, edge })
    this.hub = new StreamHub({
      store: this.store,
      changes: this.changes,
      heartbeatMs: 60_000,
      maxAgeMs: 0,
      shutdownRetryMs: 1,
      onFault: () => {},
      onClosing: () => {},
    })
  }

  async start(): Promise<void> {
    await this.store.start()
    await this.hub.start()
  }

  async stop(): Promise<void> {
    await this.hub.stop()
    await this.store.stop()
  }

  /** Subscribes as a request does. @param after the last id of the client; null if it has none */
  async subscribe(filter: SubscriptionFilter, after: number | null, sink: StreamSink): Promise<() => void> {
    const { store, hub, upstream } = this
    const access: Access = {
      events: filter.events,
      readableEvents: filter.events,
      principal: null,
      requireValid: () => {},
    }
    const request = parseCursor(after === null ? undefined : String(after), undefined)
    const { start, bounds, head } = await resolveStart(request, { store, upstream }, filter, access)
    const hello = encodeHelloEvent(
      {
        log_id: store.logId,
        cursor: start.cursor,
        first_db_id: bounds.first_db_id,
        last_db_id: bounds.last_db_id,
        server_time: new Date().toISOString(),
        events: filter.events,
        filters: { message_type: null, message_from: null },
      },
      1,
    )
    const reset = start.reset === null ? [] : [encodeResetEvent(start.reset, bounds.first_db_id)]
    const preamble = Buffer.concat([hello, ...reset])
    return hub.subscribe({ filter, sink, cursor: start.cursor, caughtUpAt: bounds.last_db_id, head, preamble })
  }
}

/** A sink whose bytes a ReadableStream returns, as the body of a response. */
const createResponseBody = (
  signal: AbortSignal,
  onEnd: () => void,
): { sink: StreamSink; body: ReadableStream<Uint8Array> } => {
  let control: ReadableStreamDefaultController<Uint8Array>
  let open = true
  const end = (finish: () => void): void => {
    if (!open) return
    open = false
    finish()
    onEnd()
  }
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      control = controller
    },
    cancel: () => end(() => {}),
  })
  signal.addEventListener('abort', () => end(() => control.error(signal.reason)))
  const sink: StreamSink = {
    progress: 0,
    write: (bytes) => {
      if (open) control.enqueue(Uint8Array.from(bytes))
      return open
    },
    end: (last) =>
      end(() => {
        control.enqueue(Uint8Array.from(last))
        control.close()
      }),
  }
  return { sink, body }
}

/** The connection of an edge to a node of the same process. */
export class LocalConnection implements CoreConnection {
  core: Node
  revocations: Revocation[] = []
  readonly #events: readonly string[] | '*'
  #cut = false
  #refusesState = false
  #abort = new AbortController()

  constructor(core: Node, events: readonly string[] | '*' = '*') {
    this.core = core
    this.#events = events
  }

  /** Breaks the connection, and refuses new ones until `heal`. */
  cut(): void {
    this.#cut = true
    this.#abort.abort(new GatewayError('upstream_unreachable', 'cut'))
  }

  heal(): void {
    this.#cut = false
    this.#refusesState = false
    this.#abort = new AbortController()
  }

  /** Answers no more requests, while the stream still looks open: the first moment after the core was killed. */
  refuseState(): void {
    this.#refusesState = true
  }

  /** Breaks open connections. */
  reconnect(): void {
    this.cut()
    this.heal()
  }

  async stream(after: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    this.#check()
    let leave = (): void => {}
    const { sink, body } = createResponseBody(AbortSignal.any([signal, this.#abort.signal]), () => leave())
    leave = await this.core.subscribe(createFilter(this.#events), after === 0 ? null : after, sink)
    return body
  }

  async state(after: number, known: string): Promise<EdgeState> {
    this.#check()
    if (this.#refusesState) throw new GatewayError('upstream_unreachable', 'refused')
    const { store, upstream } = this.core
    await upstream?.refresh()
    await upstream?.settled()
    const { last_db_id, head_db_id, pruned_db_id } = await store.bounds(createFilter(this.#events))
    const revocations_version = JSON.stringify(this.revocations)
    return {
      log_id: store.logId,
      version: '0',
      last_db_id,
      head_db_id: Math.max(head_db_id, pruned_db_id),
      ...(await store.following.state(this.#events, after)),
      level: upstream?.isLevel ?? true,
      revocations_version,
      ...(known === revocations_version ? {} : { revocations: this.revocations }),
    }
  }

  async pruned(after: string): Promise<PrunedBound[]> {
    this.#check()
    return this.core.store.following.pruned(this.#events, after, 2)
  }

  #check(): void {
    if (this.#cut) throw new GatewayError('upstream_unreachable', 'cut')
  }
}

/** An edge of a node of the same process. */
export class EdgeNode extends Node {
  readonly follower: Follower
  readonly resets: (string | null)[] = []
  readonly failures: string[] = []
  readonly progress: [number, number][] = []

  constructor(file: string, connection: CoreConnection, events: readonly string[] | '*' = '*', pollMs = 5) {
    super(file, true)
    this.follower = new Follower({
      connection,
      core: 'core',
      events,
      copy: this.store.copy!,
      revocations: {
        list: () => this.store.revocations(),
        add: (revocation) => this.store.revoke(revocation, Date.now()),
        remove: (subject) => this.store.removeRevocation(subject),
      },
      onStored: () => this.changes.notify(),
      onPruned: () => this.hub.clearHistoryCache(),
      onReset: (reason) => {
        this.resets.push(reason)
        this.hub.restart()
      },
      onLevel: (head) => this.hub.endBeyond(head),
      onConnection: (error) => {
        if (error !== null) this.failures.push(error.code)
      },
      onProgress: (done, total) => this.progress.push([done, total]),
      pollMs,
      retryMs: { minMs: 1, maxMs: 5 },
      catchUpMs: 50,
    })
    const { follower } = this
    this.upstream = {
      get status() {
        return follower.status
      },
      get isLevel() {
        return follower.isLevel
      },
      edges: [],
      settled: () => follower.settled(),
      mayReach: (cursor, readsAll) => follower.mayReach(cursor, readsAll),
      refresh: () => follower.refresh(),
      forward: async () => {
        throw new Error('nothing is forwarded here')
      },
    }
  }

  override async start(): Promise<void> {
    await super.start()
    await this.follower.start()
  }

  override async stop(): Promise<void> {
    await this.follower.stop()
    await super.stop()
  }
}

/** Opens a node in a folder of its own. */
export const startNode = async (file = `${fastDir()}/gateway.db`): Promise<Node> => {
  const node = new Node(file, false)
  await node.start()
  return node
}

/** Stores messages and notifies the hub. @returns their db_ids */
export const append = async (node: Node, ...messages: Partial<NewMessage>[]): Promise<number[]> => {
  const outcomes = await node.store.append(messages.map((message) => newEntry(message)))
  node.changes.notify()
  return outcomes.map(({ db_id }) => db_id)
}

/** Returns all rows of a node as its clients receive them. */
export const readRows = async (node: Node, events: readonly string[] | '*' = '*') =>
  (await node.store.read(createFilter(events), 0, { messages: 100_000, bytes: Number.POSITIVE_INFINITY })).messages
