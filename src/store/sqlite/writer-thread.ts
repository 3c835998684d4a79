import { parentPort, workerData } from 'node:worker_threads'
import type { ReplayRequest } from '../../core/quarantine.ts'
import type { RetentionLimits, Revocation } from '../store.ts'
import type { CopyStep } from './edge/copy-steps.ts'
import { type EntryTuple, fromTuple, toResultArray } from './entry-tuple.ts'
import { storageError } from './errors.ts'
import { WRITER_BUSY_TIMEOUT_MS } from './file.ts'
import { SqliteWriter } from './writer.ts'
import type { WriterSql } from './writer-sql.ts'

/** What the writer thread starts with. */
export interface WriterStart {
  readonly file: string
  readonly sql: WriterSql
}

/** Request to the writer thread. */
export type WriterRequest =
  | { readonly seq: number; readonly op: 'append'; readonly entries: readonly EntryTuple[] }
  | { readonly seq: number; readonly op: 'prune'; readonly retention: RetentionLimits; readonly limit: number }
  | { readonly seq: number; readonly op: 'revoke'; readonly revocation: Revocation; readonly now: number }
  | { readonly seq: number; readonly op: 'removeRevocation'; readonly subject: string }
  | { readonly seq: number; readonly op: 'replay'; readonly replays: readonly ReplayRequest[] }
  | { readonly seq: number; readonly op: 'deleteRejected'; readonly ids: readonly number[] }
  | { readonly seq: number; readonly op: 'copy'; readonly step: CopyStep }
  | { readonly seq: number; readonly op: 'probe' | 'verify' | 'close' }

/** Reply of the writer thread. An error is sent as code and text, since its class would be lost. */
export type WriterReply =
  | { readonly seq: number; readonly result: unknown }
  | { readonly seq: number; readonly error: { readonly code: string; readonly message: string } }

const port = parentPort!
const { file, sql } = workerData as WriterStart
const writer = new SqliteWriter(file, sql, { busyTimeoutMs: WRITER_BUSY_TIMEOUT_MS })

const perform = (request: WriterRequest): unknown => {
  switch (request.op) {
    case 'append':
      return toResultArray(writer.append(request.entries.map(fromTuple)))
    case 'prune':
      return writer.prune(request.retention, request.limit)
    case 'revoke':
      return writer.revoke(request.revocation, request.now)
    case 'removeRevocation':
      return writer.removeRevocation(request.subject)
    case 'replay':
      return writer.replay(request.replays)
    case 'deleteRejected':
      return writer.deleteRejected(request.ids)
    case 'copy':
      return writer.copy(request.step)
    case 'probe':
      return writer.probe()
    case 'verify':
      return writer.verify()
    case 'close':
      return writer.close()
  }
}

port.on('message', (request: WriterRequest) => {
  try {
    port.postMessage({ seq: request.seq, result: perform(request) } satisfies WriterReply)
  } catch (error) {
    const { code, message } = storageError(error)
    port.postMessage({ seq: request.seq, error: { code, message } } satisfies WriterReply)
  }
  if (request.op === 'close') port.close()
})
