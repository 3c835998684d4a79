import { DELETE_ROW, ROW_EXISTS, UPDATE_REASON } from './quarantine-queries.ts'
import * as queries from './queries.ts'

/** SQL of the writer. It is passed to the writer's thread, which so does without the query builder: it doubles the cost of a thread's start. */
export const WRITER_SQL = {
  insertMessage: queries.INSERT_MESSAGE,
  findMessage: queries.FIND_MESSAGE,
  upsertEvent: queries.UPSERT_EVENT,
  insertRejected: queries.INSERT_REJECTED,
  findRejected: queries.FIND_REJECTED,
  deleteRejected: DELETE_ROW,
  isRejected: ROW_EXISTS,
  updateReason: UPDATE_REASON,
  deleteExpiredRevocations: queries.DELETE_EXPIRED_REVOCATIONS,
  upsertRevocation: queries.UPSERT_REVOCATION,
  deleteRevocation: queries.DELETE_REVOCATION,
  probe: queries.PROBE_WRITE,
} as const

export type WriterSql = typeof WRITER_SQL
