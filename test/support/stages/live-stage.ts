import type { NewMessage } from '../../../src/core/message.ts'
import { type ClosingReason, encodeHelloEvent, type HelloData } from '../../../src/core/sse.ts'
import { createFilter, type SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import { ChangeNotifier } from '../../../src/store/change-notifier.ts'
import type { MessageStore } from '../../../src/store/store.ts'
import { type HubOptions, StreamHub } from '../../../src/streams/hub.ts'
import { Clock } from '../harness/clock.ts'
import { until } from '../harness/wait.ts'
import { fastDir } from '../servers/fast-dir.ts'
import { openSqlite } from '../store/sqlite-store.ts'
import { store } from './entries.ts'
import { TroubledLog } from './failing-store.ts'
import { FakeSink } from './fake-sink.ts'

export interface Follower {
  readonly sink: FakeSink
  readonly leave: () => void
  /** Names of its events except messages and heartbeats, in order. */
  names(): string[]
}

/** A StreamHub over a real store, with the clock, notifications, sockets and store errors under the test's control. */
export interface LiveStage {
  readonly live: StreamHub
  readonly changes: ChangeNotifier
  readonly log: TroubledLog
  readonly clock: Clock
  readonly closings: ClosingReason[]
  readonly faults: unknown[]
  /** Stores messages, by default of event `e`, without a notification. */
  append(...messages: Partial<NewMessage>[]): Promise<number[]>
  /** Subscribes as a request does: bounds first, then hello, then the stream. */
  connect(options?: { wanted?: SubscriptionFilter; cursor?: number; slow?: boolean }): Promise<Follower>
  /** Waits until pending work has completed. */
  settle(): Promise<void>
  dispose(): Promise<void>
}

const turn = (): Promise<void> => new Promise(setImmediate)

export const E = createFilter(['e'])

/** Encodes `hello` for a subscription to this filter. */
export const encodeHello = (
  { events, types, senders }: SubscriptionFilter,
  bounds: Pick<HelloData, 'cursor' | 'first_db_id' | 'last_db_id'>,
): Buffer => {
  const filters = { message_type: types && [...types], message_from: senders && [...senders] }
  return encodeHelloEvent({ log_id: 'l', ...bounds, server_time: new Date(0).toISOString(), events, filters }, 1)
}

export const makeLiveStage = async (options: Partial<HubOptions> = {}): Promise<LiveStage> => {
  const inner: MessageStore = await openSqlite(`${fastDir()}/gateway.db`, true)
  const log = new TroubledLog(inner)
  const changes = new ChangeNotifier()
  const closings: ClosingReason[] = []
  const faults: unknown[] = []
  const clock = new Clock().install()
  const live = new StreamHub({
    store: log,
    changes,
    heartbeatMs: 15_000,
    maxAgeMs: 0,
    shutdownRetryMs: 10_000,
    onFault: (error) => faults.push(error),
    onClosing: (reason) => closings.push(reason),
    ...options,
  })
  await live.start()
  return {
    live,
    changes,
    log,
    clock,
    closings,
    faults,
    append: (...messages) => store(log, ...messages.map((message) => ({ event_id: 'e', ...message }))),
    connect: async ({ wanted = E, cursor = 0, slow = false } = {}) => {
      const { head_db_id: head, first_db_id, last_db_id: target } = await log.bounds(wanted)
      const sink = new FakeSink({ slow })
      const preamble = encodeHello(wanted, { cursor, first_db_id, last_db_id: target })
      const leave = live.subscribe({ filter: wanted, sink, cursor, caughtUpAt: target, head, preamble })
      const names = () =>
        sink.events.map(({ event }) => event).filter((event) => !/^(new_message|heartbeat)$/.test(event))
      return { sink, leave, names }
    },
    settle: async () => {
      for (let n = 0; n < 20; n++) await turn()
      // A channel may pause a few milliseconds between two passes.
      await new Promise((resolve) => setTimeout(resolve, 20))
      for (let n = 0; n < 20; n++) await turn()
    },
    dispose: async () => {
      clock.uninstall()
      log.release()
      await live.stop()
      await log.stop()
    },
  }
}

/** Resolves when the subscriber has exactly these messages; throws with what it has at the time limit. */
export const hasIds = async ({ sink }: Follower, ids: readonly number[]): Promise<void> => {
  await until(() => sink.ids.length >= ids.length, { everyMs: 2 }).catch(() => {})
  if (JSON.stringify(sink.ids) !== JSON.stringify(ids)) throw new Error(`it has ${sink.ids}, not ${ids}`)
}
