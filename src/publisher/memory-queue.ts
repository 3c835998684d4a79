import { MAX_TIMER_MS } from '../core/backoff.ts'
import { isPermanent } from './broker-errors.ts'
import { PublishError, withMessage } from './errors.ts'
import type { EncodedMessage } from './message.ts'
import type { MessageQueue, QueuedMessage, QueueLimits } from './queue.ts'

interface Pending extends QueuedMessage {
  /** Time on the monotonic clock, in milliseconds, after which the call to `send` rejects. */
  readonly deadline: number
  readonly resolve: () => void
  readonly reject: (error: PublishError) => void
  /** True once it was handed to a connection. */
  sent: boolean
}

export interface MemoryQueueLimits extends QueueLimits {
  /** Milliseconds. */
  readonly sendTimeoutMs: number
}

/** Queue in memory. Each message has a caller that waits for its outcome until a deadline. */
export class MemoryQueue implements MessageQueue {
  readonly #limits: MemoryQueueLimits
  /** All unconfirmed messages, in flight or not, in the order of the calls and therefore of their deadlines. */
  readonly #pending = new Map<number, Pending>()
  /**
   * The `seq` of messages that still have to be sent, from #head on. Some of them may have timed out since, whose bodies must not stay in
   * memory.
   */
  #unsent: number[] = []
  #head = 0
  #seq = 0
  #bytes = 0
  #connectionError: PublishError | null = null
  #timer: NodeJS.Timeout | null = null
  #closed = false

  constructor(limits: MemoryQueueLimits) {
    this.#limits = limits
  }

  get queued(): number {
    return this.#pending.size
  }

  add(message: EncodedMessage): Promise<void> {
    const { maxQueued, maxQueuedBytes, sendTimeoutMs } = this.#limits
    const { message_id, body } = message
    if (this.#pending.size >= maxQueued || (this.#bytes > 0 && this.#bytes + body.length > maxQueuedBytes)) {
      const text = `${this.#pending.size} messages (${this.#bytes} bytes) are already queued.`
      return Promise.reject(
        new PublishError('queue_full', text, { message_id, cause: this.#connectionError ?? undefined }),
      )
    }
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + sendTimeoutMs
      const pending: Pending = { ...message, seq: ++this.#seq, deadline, resolve, reject, sent: false }
      this.#pending.set(pending.seq, pending)
      this.#unsent.push(pending.seq)
      this.#bytes += body.length
      this.#timer ??= setTimeout(this.#onTimeout, Math.min(sendTimeoutMs, MAX_TIMER_MS))
    })
  }

  next(): QueuedMessage | null {
    for (;;) {
      const seq = this.#unsent[this.#head]
      if (seq === undefined) return null
      this.#head++
      const pending = this.#pending.get(seq)
      if (pending === undefined) continue
      pending.sent = true
      return pending
    }
  }

  confirmed(item: QueuedMessage): void {
    this.#remove(item.seq)?.resolve()
  }

  refused(item: QueuedMessage, error: PublishError): void {
    this.#remove(item.seq)?.reject(error)
  }

  requeue(items: readonly QueuedMessage[]): void {
    if (items.length > 0) this.#setUnsent([...items.map(({ seq }) => seq), ...this.#unsent.slice(this.#head)])
  }

  setConnectionError(error: PublishError | null): void {
    this.#connectionError = error
    if (error !== null && isPermanent(error)) this.#rejectWhere(() => true)
  }

  close(): void {
    this.#closed = true
    this.#rejectWhere(() => true)
  }

  #setUnsent(seqs: readonly number[]): void {
    this.#unsent = seqs.filter((seq) => this.#pending.has(seq))
    this.#head = 0
  }

  #remove(seq: number): Pending | undefined {
    const pending = this.#pending.get(seq)
    if (pending === undefined) return undefined
    this.#pending.delete(seq)
    this.#bytes -= pending.body.length
    if (this.#unsent.length > 2 * this.#pending.size + 4_096) this.#setUnsent(this.#unsent.slice(this.#head))
    if (this.#pending.size > 0) return pending
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#limits.onIdle()
    return pending
  }

  readonly #onTimeout = (): void => {
    this.#timer = null
    const now = performance.now()
    this.#rejectWhere(({ deadline }) => deadline <= now)
    const [oldest] = this.#pending.values()
    if (oldest === undefined) return
    this.#timer = setTimeout(this.#onTimeout, Math.min(Math.max(1, oldest.deadline - now), MAX_TIMER_MS))
  }

  /** Rejects messages that will not be sent any more, starting with the oldest, until `predicate` returns false. */
  #rejectWhere(predicate: (pending: Pending) => boolean): void {
    for (const pending of this.#pending.values()) {
      if (!predicate(pending)) return
      this.#remove(pending.seq)
      pending.reject(this.#createError(pending))
    }
  }

  #createError({ sent, message_id }: Pending): PublishError {
    const connectionError = this.#connectionError
    const deliveryStatus = sent ? 'unknown' : 'not_sent'
    if (connectionError !== null && (!sent || connectionError.code === 'broker_blocked'))
      return withMessage(connectionError, message_id, deliveryStatus)
    const options = { deliveryStatus, message_id, cause: connectionError ?? undefined } as const
    if (sent)
      return new PublishError('publish_confirm_timeout', 'RabbitMQ did not confirm the message in time.', options)
    if (this.#closed) return new PublishError('publisher_closed', 'The publisher was closed before its turn.', options)
    return new PublishError('publish_timed_out', 'The message had no turn before its deadline.', options)
  }
}
