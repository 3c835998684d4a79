import type { Delivery } from '../amqp/deliveries.ts'
import { parseTraceparent, type Span, type Tracer } from '../core/trace.ts'
import type { AppendEntry, AppendResult } from '../store/store.ts'
import { rejectionReason } from './rejection-reason.ts'

/** Starts the span of a delivery, from its arrival to its commit. @returns null if its publisher does not trace */
export const startDeliverySpan = (tracer: Tracer, delivery: Delivery, queue: string, at: number): Span | null => {
  const parent = parseTraceparent(delivery.properties.headers?.traceparent)
  if (parent === null) return null
  const attributes = {
    'messaging.system': 'rabbitmq',
    'messaging.operation.type': 'process',
    'messaging.destination.name': delivery.exchange,
    'messaging.rabbitmq.destination.routing_key': delivery.routingKey,
    'messaging.rabbitmq.message.delivery_tag': delivery.deliveryTag,
    'messaging.message.body.size': delivery.bytes,
  }
  return tracer(parent, { name: `process ${queue}`, kind: 'consumer', at, attributes })
}

/** Ends the span of a delivery after its batch was committed. */
export const endDeliverySpan = (span: Span | null, entry: AppendEntry, { kind, db_id }: AppendResult): void => {
  if (span === null) return
  if (entry.kind === 'rejection') {
    span.end(`${entry.rejection.reason}: ${entry.rejection.detail}`, { 'gateway.outcome': kind })
    return
  }
  const { event_id, message_id } = entry.message
  span.end(rejectionReason(entry, kind), {
    'gateway.outcome': kind,
    'gateway.event_id': event_id,
    'gateway.db_id': db_id === 0 ? undefined : db_id,
    'messaging.message.id': message_id,
  })
}
