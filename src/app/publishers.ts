import { GatewayError } from '../core/errors.ts'
import type { NewMessage } from '../core/message.ts'
import type { Published, PublishPort } from '../http/routes/messages.ts'
import type { ExchangePublisher } from '../ingest/exchange-publisher.ts'
import type { Entry, Log, Outcome } from '../store/store.ts'

const resultOf = (message: NewMessage, outcome: Outcome): Published => {
  const { message_id } = message
  const { db_id, kind } = outcome
  if (kind === 'stored') return { message_id, db_id }
  if (kind === 'duplicate') return { message_id, db_id, duplicate: true }
  if (kind === 'conflict') {
    const details = { message_id, db_id }
    return {
      message_id,
      db_id,
      error: new GatewayError('message_conflict', `db_id ${db_id} has another body.`, { details }),
    }
  }
  return { message_id, error: new GatewayError('storage_refused', 'The store cannot hold this message.') }
}

/** Embedded: what is published is committed to the log at once. */
export const embeddedPort = (
  append: Log['append'],
  onCommitted: (entries: readonly Entry[], outcomes: readonly Outcome[]) => void,
  onStorageFault: (error: unknown) => void,
): PublishPort => ({
  status: 201,
  publish: async (messages) => {
    const entries: Entry[] = messages.map((message) => ({ kind: 'message', message, origin: null }))
    try {
      const outcomes = await append(entries)
      onStorageFault(null)
      onCommitted(entries, outcomes)
      return outcomes.map((outcome, index) => resultOf(messages[index]!, outcome))
    } catch (error) {
      onStorageFault(error)
      throw error
    }
  },
})

/** With a broker: what is published goes through the exchange, and so the same way as what agents publish. */
export const exchangePort = (publisher: ExchangePublisher): PublishPort => ({
  status: 202,
  publish: async (messages) => {
    const failures = await publisher.publish(messages)
    return messages.map(({ message_id }, index) => {
      const error = failures[index] ?? null
      return error === null ? { message_id } : { message_id, error }
    })
  },
})
