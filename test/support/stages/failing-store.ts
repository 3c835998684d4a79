import type { Bounds } from '../../../src/core/cursor.ts'
import { GatewayError } from '../../../src/core/errors.ts'
import type { SubscriptionFilter } from '../../../src/core/subscription-filter.ts'
import type {
  AppendEntry,
  AppendResult,
  EventSummary,
  MessagePage,
  MessageStore,
  PageLimit,
  Quarantine,
  RetentionLimits,
  Revocation,
} from '../../../src/store/store.ts'
import type { Following } from '../../../src/store/store-copy.ts'

/** A store whose reads can be made to fail, or to return late with data read in time. */
export class TroubledLog implements MessageStore {
  /** Reads fail while this is set. */
  failing = false
  /** Reads that need this event find damage. */
  damaged: string | null = null
  reads = 0
  readonly #log: MessageStore
  #held: (() => void)[] | null = null

  constructor(log: MessageStore) {
    this.#log = log
  }

  get following(): Following {
    return this.#log.following
  }

  /** From now on reads run immediately, but return only after `release`. */
  hold(): void {
    this.#held ??= []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const answer of held) answer()
  }

  async read(wanted: SubscriptionFilter, after: number, limit: PageLimit): Promise<MessagePage> {
    this.reads++
    if (this.damaged !== null && (wanted.events === '*' || wanted.events.includes(this.damaged))) {
      throw new GatewayError('database_corrupt', 'damage of the test')
    }
    return this.#troubled(() => this.#log.read(wanted, after, limit))
  }

  head(): Promise<number> {
    return this.#troubled(() => this.#log.head())
  }

  async #troubled<Seen>(look: () => Promise<Seen>): Promise<Seen> {
    if (this.failing) throw new GatewayError('storage_unavailable', 'fault of the test')
    const seen = await look()
    if (this.#held !== null) await new Promise<void>((resolve) => this.#held!.push(resolve))
    if (this.failing) throw new GatewayError('storage_unavailable', 'late fault of the test')
    return seen
  }

  get logId(): string {
    return this.#log.logId
  }

  get quarantine(): Quarantine {
    return this.#log.quarantine
  }

  start(): Promise<void> {
    return this.#log.start()
  }

  stop(): Promise<void> {
    return this.#log.stop()
  }

  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    return this.#log.append(entries)
  }

  readBefore(wanted: SubscriptionFilter, before: number, limit: PageLimit): Promise<MessagePage> {
    return this.#log.readBefore(wanted, before, limit)
  }

  tailCursor(wanted: SubscriptionFilter, count: number): Promise<number> {
    return this.#log.tailCursor(wanted, count)
  }

  bounds(wanted: SubscriptionFilter): Promise<Bounds> {
    return this.#log.bounds(wanted)
  }

  events(limit: number, before: number, among?: readonly string[] | '*'): Promise<EventSummary[]> {
    return this.#log.events(limit, before, among)
  }

  revoke(revocation: Revocation, now: number): Promise<Revocation> {
    return this.#log.revoke(revocation, now)
  }

  removeRevocation(subject: string): Promise<boolean> {
    return this.#log.removeRevocation(subject)
  }

  revocations(): Promise<Revocation[]> {
    return this.#log.revocations()
  }

  check(write: boolean): Promise<void> {
    return this.#log.check(write)
  }

  prune(retention: RetentionLimits, limit: number): Promise<number> {
    return this.#log.prune(retention, limit)
  }
}
