import type { Channel } from 'rabbitmq-client'

export interface Topology {
  readonly exchange: string
  readonly queue: string
  readonly binding: string
  readonly queueType: 'quorum' | 'classic'
}

/** Where the broker puts what it gives up on; read back through the same checks. */
export const deadLetterExchange = (topology: Topology): string => `${topology.exchange}.dead`
export const deadLetterQueue = (topology: Topology): string => `${topology.queue}.dead`

/** None of these depends on the broker's version, so that its upgrade never makes the declaration conflict. */
const queueArguments = (topology: Topology): Record<string, unknown> => {
  const common = {
    'x-queue-type': topology.queueType,
    'x-single-active-consumer': true,
    'x-dead-letter-exchange': deadLetterExchange(topology),
  }
  // At-least-once exists for quorum queues alone, and only with an overflow that refuses instead of dropping.
  return topology.queueType === 'quorum'
    ? { ...common, 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }
    : common
}

/** What the broker said of the queues at the last look. */
export interface QueueStats {
  /** Messages that wait in the queue. */
  readonly ready: number
  /** Consumers of the queue, of all gateways; of a quorum queue RabbitMQ counts the active one alone. */
  readonly consumers: number
  /** Messages that wait in the queue of dead letters. */
  readonly dead: number
}

/**
 * Declares exchanges, queues and bindings; nothing changes where they exist alike. Dead letters come first, so
 * that no message can die before its place is there.
 *
 * @returns what the broker says of the queues, which costs nothing more
 * @throws AMQPChannelError PRECONDITION_FAILED where one exists with other arguments
 */
export const declareTopology = async (channel: Channel, topology: Topology): Promise<QueueStats> => {
  const { exchange, queue, binding, queueType } = topology
  await channel.exchangeDeclare({ exchange: deadLetterExchange(topology), type: 'topic', durable: true })
  const dead = await channel.queueDeclare({
    queue: deadLetterQueue(topology),
    durable: true,
    arguments: { 'x-queue-type': queueType, 'x-single-active-consumer': true },
  })
  await channel.queueBind({ queue: deadLetterQueue(topology), exchange: deadLetterExchange(topology), routingKey: '#' })
  await channel.exchangeDeclare({ exchange, type: 'topic', durable: true })
  const live = await channel.queueDeclare({ queue, durable: true, arguments: queueArguments(topology) })
  await channel.queueBind({ queue, exchange, routingKey: binding })
  return { ready: live.messageCount, consumers: live.consumerCount, dead: dead.messageCount }
}
