import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GatewayError } from '../../../src/core/errors.ts'
import type { NewMessage } from '../../../src/core/message.ts'
import type {
  AppendEntry,
  AppendResult,
  DeliveryOrigin,
  MessageStore,
  RejectedDelivery,
} from '../../../src/store/store.ts'

let made = 0

/** Returns a name that is unique in this process. */
export const fresh = (what = 'x'): string => `${what}-${process.pid}-${++made}`

export const newMessage = (over: Partial<NewMessage> = {}): NewMessage => {
  const event_id = over.event_id ?? 'event'
  const message_id = over.message_id ?? fresh('m')
  return {
    message_from: null,
    message_type: null,
    round_id: null,
    received_at: 1_000,
    body: JSON.stringify({ event_id, message_id }),
    lacks: 0,
    traceparent: null,
    ...over,
    event_id,
    message_id,
  }
}

export const newOrigin = (over: Partial<DeliveryOrigin> = {}): DeliveryOrigin => ({
  exchange: 'exchange',
  routing_key: 'key',
  headers: '{}',
  properties: '{}',
  exclusive_until: Number.MAX_SAFE_INTEGER,
  ...over,
})

/** An entry for a message; without an origin by default. */
export const newEntry = (over: Partial<NewMessage> = {}, origin: DeliveryOrigin | null = null): AppendEntry => ({
  kind: 'message',
  message: newMessage(over),
  origin,
})

/** An entry for a body that could not be accepted. */
export const newRejection = (body: string, over: Partial<RejectedDelivery> = {}): AppendEntry => {
  const bytes = Buffer.from(body)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return {
    kind: 'rejection',
    rejection: {
      origin: newOrigin(),
      received_at: 1_000,
      reason: 'invalid_json',
      detail: 'no JSON',
      body: bytes,
      body_bytes: bytes.length,
      sha256,
      ...over,
    },
  }
}

/** Appends as ingest does: a batch for which the store was busy is retried unchanged. */
export const appendPatiently = async (log: MessageStore, entries: readonly AppendEntry[]): Promise<AppendResult[]> => {
  for (;;) {
    try {
      return await log.append(entries)
    } catch (error) {
      if ((error as GatewayError).code !== 'storage_busy') throw error
      await sleep(Math.random() * 20)
    }
  }
}

/** Stores messages one after another in one batch. @returns their db_ids */
export const store = async (log: MessageStore, ...messages: Partial<NewMessage>[]): Promise<number[]> => {
  const outcomes = await appendPatiently(
    log,
    messages.map((message) => newEntry(message)),
  )
  return outcomes.map(({ kind, db_id }) => {
    if (kind !== 'stored') throw new Error(`not stored but ${kind}`)
    return db_id
  })
}
