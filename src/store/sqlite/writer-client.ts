import type { Worker } from 'node:worker_threads'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { ReplayRequest } from '../../core/quarantine.ts'
import { startWorkerThread } from '../../platform/assets.ts'
import type {
  AppendEntry,
  AppendResult,
  FaultPoint,
  ReplayResult,
  RetentionLimits,
  Revocation,
  StoreCallbacks,
} from '../store.ts'
import type { CopyState } from '../store-copy.ts'
import { WriteWatch } from '../write-watch.ts'
import { assertSpaceFor } from './disk-space.ts'
import type { CopyStep } from './edge/copy-steps.ts'
import { fromResultArray, toTuple } from './entry-tuple.ts'
import { SqliteWriter } from './writer.ts'
import { WRITER_SQL } from './writer-sql.ts'
import type { WriterReply, WriterRequest, WriterStart } from './writer-thread.ts'

/** The writer as the store uses it, in this thread or in a worker thread. */
export interface Writer {
  append(entries: readonly AppendEntry[]): Promise<AppendResult[]>
  prune(retention: RetentionLimits, limit: number): Promise<number>
  revoke(revocation: Revocation, now: number): Promise<Revocation>
  removeRevocation(subject: string): Promise<boolean>
  replay(replays: readonly ReplayRequest[]): Promise<ReplayResult[]>
  deleteRejected(ids: readonly number[]): Promise<number>
  copy(step: CopyStep): Promise<CopyState>
  /** Commits a small write, once what has failed would succeed. */
  probe(): Promise<void>
  /** Reads the whole database, which takes seconds per gigabyte. */
  verify(): Promise<void>
  close(): Promise<void>
}

interface Pending {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/** `WriterRequest` without `seq`; distributed over the union so that each kind keeps its fields. */
type Request<R = WriterRequest> = R extends WriterRequest ? Omit<R, 'seq'> : never

export interface WriterOptions extends StoreCallbacks {
  readonly file: string
  /** Runs the writer in this thread instead of a worker thread, and calls back at its stages; for fault injection. */
  readonly inlineWriter?: { readonly onStage?: (stage: FaultPoint) => void }
}

/** Creates the writer in a thread of its own, or for fault injection in this one. */
export const createWriter = (options: WriterOptions): Writer =>
  options.inlineWriter === undefined
    ? new WorkerThreadWriter(options)
    : createInlineWriter(options.file, options.inlineWriter.onStage)

/** Runs the writer in this thread, for fault injection. */
const createInlineWriter = (file: string, onStage: ((stage: FaultPoint) => void) | undefined): Writer => {
  const writer = new SqliteWriter(file, WRITER_SQL, { onStage })
  const writes = new WriteWatch()
  return {
    append: (entries) =>
      writes.run(
        async () => writer.append(entries),
        (error) => assertSpaceFor(file, entries, error),
      ),
    prune: async (retention, limit) => writer.prune(retention, limit),
    revoke: async (revocation, now) => writer.revoke(revocation, now),
    removeRevocation: async (subject) => writer.removeRevocation(subject),
    replay: async (replays) => writer.replay(replays),
    deleteRejected: async (ids) => writer.deleteRejected(ids),
    copy: async (step) => writer.copy(step),
    probe: () => writes.recheck(async () => writer.probe()),
    verify: async () => writer.verify(),
    close: async () => writer.close(),
  }
}

/** Runs the writer in a worker thread: a commit waits for the disk and must not block the streams (measured in docs/ARCHITECTURE.md). */
class WorkerThreadWriter implements Writer {
  readonly #file: string
  readonly #worker: Worker
  readonly #writes = new WriteWatch()
  readonly #pending = new Map<number, Pending>()
  readonly #onUnusable: (error: GatewayError) => void
  #closing = false
  #seq = 0
  #failure: GatewayError | null = null

  constructor({ file, onUnusable = noop }: WriterOptions) {
    this.#file = file
    this.#onUnusable = onUnusable
    const start: WriterStart = { file, sql: WRITER_SQL }
    this.#worker = startWorkerThread('sqlite-writer-thread', new URL('./writer-thread.ts', import.meta.url), start)
    this.#worker.on('message', (reply: WriterReply) => this.#settle(reply))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', (code) => this.#fail(new Error(`the writer thread ended with code ${code}`)))
  }

  append(entries: readonly AppendEntry[]): Promise<AppendResult[]> {
    return this.#writes.run(
      async () => fromResultArray((await this.#call({ op: 'append', entries: entries.map(toTuple) })) as Float64Array),
      (error) => assertSpaceFor(this.#file, entries, error),
    )
  }

  prune(retention: RetentionLimits, limit: number): Promise<number> {
    return this.#call({ op: 'prune', retention, limit }) as Promise<number>
  }

  revoke(revocation: Revocation, now: number): Promise<Revocation> {
    return this.#call({ op: 'revoke', revocation, now }) as Promise<Revocation>
  }

  removeRevocation(subject: string): Promise<boolean> {
    return this.#call({ op: 'removeRevocation', subject }) as Promise<boolean>
  }

  replay(replays: readonly ReplayRequest[]): Promise<ReplayResult[]> {
    return this.#call({ op: 'replay', replays }) as Promise<ReplayResult[]>
  }

  deleteRejected(ids: readonly number[]): Promise<number> {
    return this.#call({ op: 'deleteRejected', ids }) as Promise<number>
  }

  copy(step: CopyStep): Promise<CopyState> {
    return this.#call({ op: 'copy', step }) as Promise<CopyState>
  }

  async probe(): Promise<void> {
    await this.#writes.recheck(() => this.#call({ op: 'probe' }) as Promise<void>)
  }

  async verify(): Promise<void> {
    await this.#call({ op: 'verify' })
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.#call({ op: 'close' })
  }

  #call(request: Request): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const seq = ++this.#seq
      this.#pending.set(seq, { resolve, reject })
      this.#worker.postMessage({ ...request, seq })
    })
  }

  #settle(reply: WriterReply): void {
    const pending = this.#pending.get(reply.seq)
    this.#pending.delete(reply.seq)
    if ('error' in reply) pending?.reject(new GatewayError(reply.error.code as ErrorCode, reply.error.message))
    else pending?.resolve(reply.result)
  }

  #fail(cause: unknown): void {
    const wasUsable = this.#failure === null
    // It is unknown whether the last batch was committed; its unique keys make appending it again harmless.
    this.#failure ??= new GatewayError('storage_unavailable', 'The writer of the database has stopped.', {
      cause,
      hint: 'Restart the gateway.',
    })
    for (const pending of this.#pending.values()) pending.reject(this.#failure)
    this.#pending.clear()
    if (wasUsable && !this.#closing) this.#onUnusable(this.#failure)
  }
}
