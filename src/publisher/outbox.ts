import { backoffDelay } from '../core/backoff.ts'
import { PublishError } from './errors.ts'
import type { EncodedMessage } from './message.ts'
import { type OutboxEntry, OutboxFile, type RefusedRow } from './outbox-file.ts'
import type { MessageQueue, QueuedMessage, QueueLimits } from './queue.ts'

/** Delay before a message that was refused, or could not be read, is sent again, in milliseconds. */
const HELD_BACKOFF_MS = { minMs: 100, maxMs: 10_000 }
/** Confirmed rows are deleted with the next commit, or after this delay, in milliseconds. */
const DELETE_MS = 50
/** Maximum size of the bodies that are kept in memory, in bytes; others are read from the file when they are sent. */
const CACHE_BYTES = 16_777_216
/** Delay before a failed commit is retried, in milliseconds. */
const RETRY_AFTER_ERROR_MS = 1_000

/** Messages of one event, in order. At most the first one is in flight. */
interface EventLane {
  readonly event_id: string
  readonly seqs: number[]
  head: number
  failures: number
  timer: NodeJS.Timeout | null
}

interface Row extends QueuedMessage {
  readonly lane: EventLane
}

interface PendingAdd {
  readonly entry: OutboxEntry
  readonly resolve: () => void
  readonly reject: (error: PublishError) => void
}

export interface OutboxOptions extends QueueLimits {
  readonly path: string
  /** Called when there is something to send. */
  readonly onReady: () => void
  /**
   * Called with the reason why messages are held although the broker is connected; with null once none is held any
   * more.
   */
  readonly onError: (error: PublishError | null) => void
  /** Called when a message was refused permanently and moved to the table `refused` of the file. */
  readonly onRefused: (error: PublishError) => void
}

/**
 * Queue in a file that keeps messages until the broker has confirmed them. Everything that is sent in one event-loop
 * iteration is committed together, along with the deletion of messages confirmed meanwhile.
 *
 * A message is in one of these states:
 *
 * - adding: in memory only; `send` has not resolved. A commit makes it waiting; a failed commit rejects `send`.
 * - waiting: durable. In flight once it is the first of its event and `next` has returned it.
 * - in flight: confirmed, refused, or waiting again if the connection is lost (`requeue`).
 * - held: refused for now, or not readable. Waiting again after a backoff of at most 10 s, or as soon as the connection works again.
 * - confirmed: deleted from the file by a commit within 50 ms. A crash before that sends it once more.
 * - refused permanently: moved to the table `refused` by the next commit; the next message of the event follows.
 */
export class Outbox implements MessageQueue {
  readonly #options: OutboxOptions
  readonly #file: OutboxFile
  readonly #lanes = new Map<string, EventLane>()
  /** Events whose first message can be sent, in send order. */
  #ready: EventLane[] = []
  #head = 0
  readonly #backedOff = new Set<EventLane>()
  readonly #cache = new Map<number, EncodedMessage>()
  #cached = 0
  #seq: number
  #rows = 0
  #bytes = 0
  #pendingAdds: PendingAdd[] = []
  #confirmed: number[] = []
  #refused: RefusedRow[] = []
  #commitImmediate: NodeJS.Immediate | null = null
  #commitTimer: NodeJS.Timeout | null = null
  #fileError: PublishError | null = null
  #closed = false

  /** @throws PublishError as the constructor of OutboxFile does */
  constructor(options: OutboxOptions) {
    this.#options = options
    this.#file = new OutboxFile(options.path)
    const rows = this.#file.queuedRows()
    this.#seq = rows.at(-1)?.seq ?? 0
    for (const { seq, event_id, bytes } of rows) {
      this.#rows++
      this.#bytes += bytes
      this.#append(event_id, seq)
    }
  }

  get queued(): number {
    return this.#rows
  }

  add(message: EncodedMessage): Promise<void> {
    const { maxQueued, maxQueuedBytes, path } = this.#options
    const { message_id, body } = message
    if (this.#rows >= maxQueued || (this.#bytes > 0 && this.#bytes + body.length > maxQueuedBytes)) {
      const text = `${this.#rows} messages (${this.#bytes} bytes) wait in ${path}.`
      return Promise.reject(new PublishError('outbox_full', text, { message_id }))
    }
    this.#rows++
    this.#bytes += body.length
    return new Promise((resolve, reject) => {
      this.#pendingAdds.push({ entry: { seq: ++this.#seq, message }, resolve, reject })
      this.#commitImmediate ??= setImmediate(this.#commit)
    })
  }

  next(): QueuedMessage | null {
    for (;;) {
      const lane = this.#ready[this.#head]
      if (lane === undefined) return null
      this.#head++
      if (this.#head > 1_024 && this.#head * 2 > this.#ready.length) {
        this.#ready = this.#ready.slice(this.#head)
        this.#head = 0
      }
      const seq = lane.seqs[lane.head]!
      try {
        const message = this.#cache.get(seq) ?? this.#file.read(seq)
        return { ...message, event_id: lane.event_id, seq, lane } as Row
      } catch (error) {
        this.#hold(lane, error as PublishError)
      }
    }
  }

  confirmed(item: QueuedMessage): void {
    this.#confirmed.push(item.seq)
    this.#remove(item as Row)
  }

  refused(item: QueuedMessage, error: PublishError, permanent: boolean): void {
    const { lane } = item as Row
    if (permanent) {
      this.#refused.push({ seq: item.seq, reason: `${error.code}: ${error.message}` })
      this.#remove(item as Row)
      this.#options.onRefused(error)
      return
    }
    this.#hold(lane, error)
  }

  requeue(items: readonly QueuedMessage[]): void {
    const lanes = (items as readonly Row[]).map(({ lane }) => lane)
    if (lanes.length === 0) return
    this.#ready = [...lanes, ...this.#ready.slice(this.#head)]
    this.#head = 0
  }

  setConnectionError(error: PublishError | null): void {
    // After a reconnect a missing queue may exist again, so retry held messages immediately.
    if (error === null) for (const lane of this.#backedOff) this.#retry(lane)
  }

  close(): void {
    for (const { timer } of this.#backedOff) clearTimeout(timer ?? undefined)
    this.#commit()
    this.#closed = true
    clearTimeout(this.#commitTimer ?? undefined)
    this.#file.close()
  }

  #append(event_id: string, seq: number): void {
    const lane = this.#lanes.get(event_id)
    if (lane !== undefined) {
      lane.seqs.push(seq)
      return
    }
    const newLane: EventLane = { event_id, seqs: [seq], head: 0, failures: 0, timer: null }
    this.#lanes.set(event_id, newLane)
    this.#ready.push(newLane)
  }

  /** Removes the first message of its event from the queue. */
  #remove({ seq, body, lane }: Row): void {
    this.#rows--
    this.#bytes -= body.length
    this.#uncache(seq)
    lane.failures = 0
    if (this.#backedOff.delete(lane) && this.#backedOff.size === 0) this.#options.onError(this.#fileError)
    lane.head++
    if (lane.head === lane.seqs.length) this.#lanes.delete(lane.event_id)
    else this.#ready.push(lane)
    if (lane.head > 1_024) {
      lane.seqs.splice(0, lane.head)
      lane.head = 0
    }
    this.#commitLater(DELETE_MS)
    if (this.#rows === 0) this.#options.onIdle()
  }

  #hold(lane: EventLane, error: PublishError): void {
    this.#backedOff.add(lane)
    lane.timer = setTimeout(() => this.#retry(lane), backoffDelay(lane.failures++, HELD_BACKOFF_MS, Math.random()))
    this.#options.onError(error)
  }

  #retry(lane: EventLane): void {
    if (this.#closed || lane.timer === null) return
    clearTimeout(lane.timer)
    lane.timer = null
    this.#ready.push(lane)
    this.#options.onReady()
  }

  #uncache(seq: number): void {
    const cached = this.#cache.get(seq)
    if (cached === undefined) return
    this.#cache.delete(seq)
    this.#cached -= cached.body.length
  }

  #commitLater(ms: number): void {
    if (this.#commitImmediate !== null || this.#closed) return
    this.#commitTimer ??= setTimeout(this.#commit, ms)
  }

  readonly #commit = (): void => {
    if (this.#closed) return
    if (this.#commitImmediate !== null) clearImmediate(this.#commitImmediate)
    if (this.#commitTimer !== null) clearTimeout(this.#commitTimer)
    this.#commitImmediate = null
    this.#commitTimer = null
    const adds = this.#pendingAdds
    this.#pendingAdds = []
    if (adds.length + this.#confirmed.length + this.#refused.length === 0) return
    try {
      const added = adds.map(({ entry }) => entry)
      this.#file.commit({ added, confirmed: this.#confirmed, refused: this.#refused })
    } catch (error) {
      this.#notCommitted(adds, error as PublishError)
      return
    }
    this.#confirmed = []
    this.#refused = []
    this.#committed(adds)
  }

  #committed(adds: readonly PendingAdd[]): void {
    if (this.#fileError !== null) {
      this.#fileError = null
      if (this.#backedOff.size === 0) this.#options.onError(null)
    }
    for (const { entry, resolve } of adds) {
      const { seq, message } = entry
      if (this.#cached < CACHE_BYTES) {
        this.#cache.set(seq, message)
        this.#cached += message.body.length
      }
      this.#append(message.event_id, seq)
      resolve()
    }
    if (adds.length > 0) this.#options.onReady()
  }

  /** Rejects the callers. Confirmed rows stay in the file a while longer and are, at worst, sent once more. */
  #notCommitted(adds: readonly PendingAdd[], error: PublishError): void {
    for (const { entry, reject } of adds) {
      const { body, message_id } = entry.message
      this.#rows--
      this.#bytes -= body.length
      reject(
        new PublishError(error.code, error.message, {
          deliveryStatus: error.deliveryStatus,
          message_id,
          cause: error.cause,
        }),
      )
    }
    this.#reportFileError(error)
    this.#commitLater(RETRY_AFTER_ERROR_MS)
    if (this.#rows === 0) this.#options.onIdle()
  }

  #reportFileError(error: PublishError): void {
    this.#fileError = error
    this.#options.onError(error)
  }
}
