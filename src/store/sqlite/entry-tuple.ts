import type { AppendEntry, AppendResult, RejectedDelivery } from '../store.ts'

/** A message and its origin as one array. */
type PackedMessage = readonly [
  event_id: string,
  message_id: string,
  message_from: string | null,
  message_type: string | null,
  round_id: number | null,
  received_at: number,
  body: string,
  lacks: number,
  traceparent: string | null,
  /** This and all later fields are absent if the message has no origin. */
  exchange?: string,
  routing_key?: string,
  headers?: string,
  properties?: string,
  exclusive_until?: number,
]

/** An entry as it is sent to the writer thread. */
export type EntryTuple = PackedMessage | RejectedDelivery

/**
 * Packs an entry without field names, which would be copied with each message: 0.7 instead of 2.2 µs per message for both threads together.
 * Rejections are rare and stay objects.
 */
export const toTuple = (entry: AppendEntry): EntryTuple => {
  if (entry.kind === 'rejection') return entry.rejection
  const { message: m, origin: o } = entry
  const { event_id, message_id, message_from, message_type, round_id, received_at, body, lacks, traceparent } = m
  // No spread, since this runs for every message.
  return o === null
    ? [event_id, message_id, message_from, message_type, round_id, received_at, body, lacks, traceparent]
    : [
        event_id,
        message_id,
        message_from,
        message_type,
        round_id,
        received_at,
        body,
        lacks,
        traceparent,
        o.exchange,
        o.routing_key,
        o.headers,
        o.properties,
        o.exclusive_until,
      ]
}

/** Reverses toTuple. */
export const fromTuple = (packed: EntryTuple): AppendEntry => {
  if (!isMessage(packed)) return { kind: 'rejection', rejection: packed }
  const [event_id, message_id, message_from, message_type, round_id, received_at, body, lacks, traceparent] = packed
  const exchange = packed[9]
  return {
    kind: 'message',
    message: { event_id, message_id, message_from, message_type, round_id, received_at, body, lacks, traceparent },
    origin:
      exchange === undefined
        ? null
        : {
            exchange,
            routing_key: packed[10]!,
            headers: packed[11]!,
            properties: packed[12]!,
            exclusive_until: packed[13]!,
          },
  }
}

const isMessage = (packed: EntryTuple): packed is PackedMessage => Array.isArray(packed)

const KINDS = ['stored', 'duplicate', 'conflict', 'refused', 'rejected'] as const satisfies AppendResult['kind'][]

/** Packs the results of a batch for the way between the threads, two numbers each: 0.04 instead of 0.43 µs per message for both threads. */
export const toResultArray = (results: readonly AppendResult[]): Float64Array => {
  const array = new Float64Array(results.length * 2)
  for (const [index, { kind, db_id }] of results.entries()) {
    array[index * 2] = KINDS.indexOf(kind)
    array[index * 2 + 1] = db_id
  }
  return array
}

/** Reverses toResultArray. */
export const fromResultArray = (array: Float64Array): AppendResult[] =>
  Array.from({ length: array.length / 2 }, (_, index) => ({
    kind: KINDS[array[index * 2]!]!,
    db_id: array[index * 2 + 1]!,
  }))
