import type { Client } from 'pg'
import { errorChainText } from '../../core/error-text.ts'
import type { NewMessage } from '../../core/message.ts'
import { conflictDetail, toRejection } from '../rejections.ts'
import type { AppendEntry, AppendResult, RejectedDelivery } from '../store.ts'
import { isRowError } from './errors.ts'
import { FIND_MESSAGES, FIND_REJECTED, INSERT_MESSAGES, INSERT_REJECTED } from './queries.ts'
import { toServerTime } from './server/server-clock.ts'
import { bigintArray, bytesArray, escapeNul, textArray, toNullable } from './values.ts'

/** Maximum bytes per statement; PostgreSQL does not accept a protocol message of 1 GB. */
const MAX_BYTES = 16 * 1024 * 1024
const MAX_ROWS = 2_000

/** Splits a list into parts of at most MAX_BYTES and MAX_ROWS, each with at least one item. */
const splitIntoParts = <Item>(items: readonly Item[], getBytes: (item: Item) => number): Item[][] => {
  const parts: Item[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const item of items) {
    const size = getBytes(item)
    if (bytes + size > MAX_BYTES || parts.at(-1)!.length >= MAX_ROWS) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)!.push(item)
    bytes += size
  }
  return parts
}

/** Inserts messages whose unique key is free (L3). @returns the db_id of each stored message, null for the others */
const insert = async (client: Client, messages: readonly NewMessage[]): Promise<(number | null)[]> => {
  const ids = messages.map((message) => [escapeNul(message.event_id), escapeNul(message.message_id)] as const)
  const values = [
    textArray(ids.map(([event_id]) => event_id)),
    textArray(ids.map(([, message_id]) => message_id)),
    textArray(messages.map((message) => toNullable(message.message_from))),
    textArray(messages.map((message) => toNullable(message.message_type))),
    bigintArray(messages.map((message) => message.round_id)),
    // Otherwise a host whose clock is behind would store messages that retention deletes at once.
    bigintArray(messages.map((message) => toServerTime(client, message.received_at))),
    bigintArray(messages.map((message) => message.lacks)),
    textArray(messages.map((message) => message.body)),
    textArray(messages.map((message) => message.traceparent)),
  ]
  type InsertedRow = { db_id: number; event_id: string; message_id: string }
  const { rows } = await client.query<InsertedRow>({ ...INSERT_MESSAGES, values })
  // The returned rows are in the order of the batch.
  let next = 0
  return ids.map(([event_id, message_id]) => {
    const row = rows[next]
    if (row?.event_id !== event_id || row.message_id !== message_id) return null
    next++
    return row.db_id
  })
}

/** Distinguishes duplicates from conflicts, for messages whose unique key exists. */
const compareWithStored = async (client: Client, messages: readonly NewMessage[]): Promise<AppendResult[]> => {
  const messageKey = (event_id: string, message_id: string): string => `${event_id.length} ${event_id}${message_id}`
  const events = messages.map(({ event_id }) => escapeNul(event_id))
  const names = messages.map(({ message_id }) => escapeNul(message_id))
  type StoredRow = { db_id: number; event_id: string; message_id: string; body: string }
  const values = [textArray(events), textArray(names)]
  const { rows } = await client.query<StoredRow>({ ...FIND_MESSAGES, values })
  const storedRows = new Map(rows.map((row) => [messageKey(row.event_id, row.message_id), row]))
  return messages.map(({ body }, index) => {
    const row = storedRows.get(messageKey(events[index]!, names[index]!))
    if (row === undefined) throw new Error('a used message_id belongs to no message')
    return { kind: row.body === body ? 'duplicate' : 'conflict', db_id: row.db_id }
  })
}

/** Stores messages in order, in the caller's transaction. */
const storeAll = async (client: Client, messages: readonly NewMessage[]): Promise<AppendResult[]> => {
  const outcomes: AppendResult[] = []
  for (const part of splitIntoParts(messages, ({ body }) => body.length * 2)) {
    const ids = await insert(client, part)
    const existing = part.filter((_, index) => ids[index] === null)
    const compared = existing.length === 0 ? [] : await compareWithStored(client, existing)
    for (const db_id of ids) outcomes.push(db_id === null ? compared.shift()! : { kind: 'stored', db_id })
  }
  return outcomes
}

/** Calls `run` within a savepoint, so that a failure rolls back only its own changes. */
const withSavepoint = async <Result>(client: Client, run: () => Promise<Result>): Promise<Result> => {
  await client.query('SAVEPOINT guarded')
  try {
    const result = await run()
    await client.query('RELEASE SAVEPOINT guarded')
    return result
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT guarded')
    throw error
  }
}

/** Result for one message. `error` is the reason why the store cannot hold it, if `kind` is `refused`. */
export type BatchResult = AppendResult & { readonly error?: string }

/**
 * Stores messages in order, in the caller's transaction.
 *
 * @param oneByOne stores them one by one, so that a message that cannot be stored does not affect the others; if false, such a message throws
 */
export const storeMessages = async (
  client: Client,
  messages: readonly NewMessage[],
  oneByOne: boolean,
): Promise<BatchResult[]> => {
  if (!oneByOne) return storeAll(client, messages)
  const outcomes: BatchResult[] = []
  for (const message of messages) {
    try {
      outcomes.push(...(await withSavepoint(client, () => storeAll(client, [message]))))
    } catch (error) {
      if (!isRowError(error)) throw error
      outcomes.push({ kind: 'refused', db_id: 0, error: errorChainText(error) })
    }
  }
  return outcomes
}

type Copy = { sha256: string; reason: string; routing_key: string; properties: string }

const toCopyKey = ({ sha256, reason, routing_key, properties }: Copy): string =>
  JSON.stringify([sha256, reason, routing_key, properties])

const toCopy = ({ sha256, reason, origin }: RejectedDelivery): Copy => {
  const [routing_key, properties] = [escapeNul(origin.routing_key), escapeNul(origin.properties)]
  return { sha256, reason, routing_key, properties }
}

/** Quarantines rejections in order, in the caller's transaction. One that another consumer can have stored is skipped if there is a copy. */
export const insertRejected = async (client: Client, rejections: readonly RejectedDelivery[]): Promise<void> => {
  const now = Date.now()
  const isExclusive = ({ origin }: RejectedDelivery): boolean => now <= origin.exclusive_until
  const copies = await findCopies(
    client,
    rejections.filter((rejection) => !isExclusive(rejection)),
  )
  const newRejections = rejections.filter((rejection) => {
    const key = toCopyKey(toCopy(rejection))
    if (!isExclusive(rejection) && copies.has(key)) return false
    copies.add(key)
    return true
  })
  for (const part of splitIntoParts(newRejections, ({ body }) => body.length)) {
    const texts = (of: (rejection: RejectedDelivery) => string) => textArray(part.map((one) => escapeNul(of(one))))
    const values = [
      bigintArray(part.map((one) => toServerTime(client, one.received_at))),
      texts((one) => one.reason),
      texts((one) => one.detail),
      texts((one) => one.origin.exchange),
      texts((one) => one.origin.routing_key),
      texts((one) => one.origin.headers),
      texts((one) => one.origin.properties),
      bytesArray(part.map((one) => one.body)),
      bigintArray(part.map((one) => one.body_bytes)),
      texts((one) => one.sha256),
    ]
    await client.query({ ...INSERT_REJECTED, values })
  }
}

const findCopies = async (client: Client, rejections: readonly RejectedDelivery[]): Promise<Set<string>> => {
  if (rejections.length === 0) return new Set()
  const wanted = rejections.map(toCopy)
  const values = [
    textArray(wanted.map(({ sha256 }) => sha256)),
    textArray(wanted.map(({ reason }) => reason)),
    textArray(wanted.map(({ routing_key }) => routing_key)),
    textArray(wanted.map(({ properties }) => properties)),
  ]
  const { rows } = await client.query<Copy>({ ...FIND_REJECTED, values })
  return new Set(rows.map(toCopyKey))
}

/**
 * Stores a batch, messages and rejections together (L5), in the caller's transaction.
 *
 * @param oneByOne see storeMessages
 * @param again returns true for an entry of a batch whose commit may have succeeded; it is not quarantined again if a copy exists
 */
export const storeBatch = async (
  client: Client,
  entries: readonly AppendEntry[],
  { oneByOne, again }: { oneByOne: boolean; again: (entry: AppendEntry) => boolean },
): Promise<AppendResult[]> => {
  const messageEntries = entries.filter((entry) => entry.kind === 'message')
  const stored = await storeMessages(
    client,
    messageEntries.map(({ message }) => message),
    oneByOne,
  )
  const rejections: RejectedDelivery[] = []
  const outcomes = entries.map((entry): AppendResult => {
    if (entry.kind === 'rejection') {
      rejections.push(again(entry) ? notExclusive(entry.rejection) : entry.rejection)
      return { kind: 'rejected', db_id: 0 }
    }
    const { error = '', ...outcome } = stored.shift()!
    const { message, origin } = entry
    if (origin === null || outcome.kind === 'stored' || outcome.kind === 'duplicate') return outcome
    const rejection =
      outcome.kind === 'conflict'
        ? toRejection(message, origin, 'message_conflict', conflictDetail(outcome.db_id))
        : toRejection(message, origin, 'message_unstorable', error)
    rejections.push(again(entry) ? notExclusive(rejection) : rejection)
    return outcome
  })
  await insertRejected(client, rejections)
  return outcomes
}

const notExclusive = (rejection: RejectedDelivery): RejectedDelivery => ({
  ...rejection,
  origin: { ...rejection.origin, exclusive_until: 0 },
})
