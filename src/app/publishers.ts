import { GatewayError } from '../core/errors.ts'
import type { NewMessage } from '../core/message.ts'
import type { MessagePublisher, PublishResult } from '../http/routes/publish.ts'
import type { ExchangePublisher } from '../ingest/exchange-publisher.ts'
import { conflictDetail, UNSTORABLE_DETAIL } from '../store/rejections.ts'
import type { AppendEntry, AppendResult, MessageStore } from '../store/store.ts'
import type { CommitListener } from './ingest-metrics.ts'
import { withHealthReport } from './quarantine-service.ts'

const toPublishResult = (message: NewMessage, outcome: AppendResult): PublishResult => {
  const { message_id } = message
  const { db_id, kind } = outcome
  if (kind === 'stored') return { message_id, db_id }
  if (kind === 'duplicate') return { message_id, db_id, duplicate: true }
  if (kind === 'conflict') {
    const details = { message_id, db_id }
    return { message_id, db_id, error: new GatewayError('message_conflict', conflictDetail(db_id), { details }) }
  }
  return { message_id, error: new GatewayError('message_unstorable', UNSTORABLE_DETAIL) }
}

/** Creates the publisher of embedded mode, which commits messages to the store immediately. */
export const createStorePublisher = (
  append: MessageStore['append'],
  onCommitted: CommitListener,
  onStorageFault: (error: unknown) => void,
): MessagePublisher => ({
  status: 201,
  publish: async (messages) => {
    const entries: AppendEntry[] = messages.map((message) => ({ kind: 'message', message, origin: null }))
    const outcomes = await withHealthReport(onStorageFault, () => append(entries))
    onCommitted(entries, outcomes)
    return outcomes.map((outcome, index) => toPublishResult(messages[index]!, outcome))
  },
})

/**
 * Creates the publisher of broker mode, which sends messages through the exchange, the same path as those of agents.
 */
export const createExchangePublisher = (publisher: ExchangePublisher): MessagePublisher => ({
  status: 202,
  publish: async (messages) => {
    const failures = await publisher.publish(messages)
    return messages.map(({ message_id }, index) => {
      const error = failures[index] ?? null
      return error === null ? { message_id } : { message_id, error }
    })
  },
})
