import type Database from 'better-sqlite3'
import type { NewMessage } from '../../core/message.ts'

/** Changes of one event by a batch. */
export interface EventDelta {
  event_id: string
  messages: number
  first_db_id: number
  last_db_id: number
  first_at: number
  last_at: number
}

/** Adds a stored message to the changes of its event. */
export const addToDelta = (
  deltas: Map<string, EventDelta>,
  message: Pick<NewMessage, 'event_id' | 'received_at'>,
  db_id: number,
): void => {
  const delta = deltas.get(message.event_id)
  if (delta === undefined) {
    deltas.set(message.event_id, {
      event_id: message.event_id,
      messages: 1,
      first_db_id: db_id,
      last_db_id: db_id,
      first_at: message.received_at,
      last_at: message.received_at,
    })
    return
  }
  delta.messages++
  delta.last_db_id = db_id
  delta.last_at = Math.max(delta.last_at, message.received_at)
}

/** Writes the changes. @param statement UPSERT_EVENT; its values are bound by position, which is quicker than by name */
export const upsertDeltas = (statement: Database.Statement, deltas: ReadonlyMap<string, EventDelta>): void => {
  for (const { event_id, messages, first_db_id, last_db_id, first_at, last_at } of deltas.values())
    statement.run(event_id, messages, first_db_id, last_db_id, first_at, last_at)
}
