import type { Channel } from 'rabbitmq-client'

export interface Topology {
  readonly exchange: string
  readonly queue: string
  readonly binding: string
  readonly queueType: 'quorum' | 'classic'
}

/** Exchange and queue for dead letters. They are consumed with the same validation as other messages. */
const deadLetterExchange = (topology: Topology): string => `${topology.exchange}.dead`
export const deadLetterQueue = (topology: Topology): string => `${topology.queue}.dead`

/**
 * Arguments of the second binding, which make it a binding of its own: if one of the two is deleted, no message is lost. RabbitMQ delivers a
 * message that matches both once, and a topic exchange ignores arguments. Another text would add a third binding to existing queues.
 */
const SECOND_BINDING = { note: 'second binding with this key, in case the other one is deleted' }

/** Exchange and queue for dead letters that the broker gives up on too. Without a consumer, no delivery limit applies to them. */
const parkingExchange = (topology: Topology): string => `${topology.exchange}.parked`
const parkingQueue = (topology: Topology): string => `${topology.queue}.parked`

/** None of these arguments depends on the version of the broker, so that its upgrade never causes a conflicting declaration. */
const queueArguments = (topology: Topology, deadLettersTo: string | null): Record<string, unknown> => {
  const plain = { 'x-queue-type': topology.queueType, 'x-single-active-consumer': true }
  if (deadLettersTo === null) return plain
  const common = { ...plain, 'x-dead-letter-exchange': deadLettersTo }
  // At-least-once requires a quorum queue, and an overflow policy that rejects messages instead of dropping them.
  return topology.queueType === 'quorum'
    ? { ...common, 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }
    : common
}

/** Statistics of the queues at the last declaration. */
export interface QueueStats {
  /** Messages ready in the queue. */
  readonly ready: number
  /** Consumers of the queue, of all gateways. For a quorum queue RabbitMQ counts only the active one. */
  readonly consumers: number
  /** Messages ready in the dead-letter queue. */
  readonly dead: number
  /** Messages in the parking-lot queue; 0 without one. */
  readonly parked: number
}

/**
 * Declares what dead letters need. Classic queues have no delivery limit, and get no parking-lot queue.
 *
 * @param parks false if the dead-letter queue exists without a parking-lot queue
 * @throws AMQPChannelError PRECONDITION_FAILED if one exists with other arguments
 */
export const declareDeadLetters = async (
  channel: Channel,
  topology: Topology,
  parks: boolean,
): Promise<Pick<QueueStats, 'dead' | 'parked'>> => {
  const isParked = parks && topology.queueType === 'quorum'
  let parked = 0
  if (isParked) {
    const [exchange, queue] = [parkingExchange(topology), parkingQueue(topology)]
    await channel.exchangeDeclare({ exchange, type: 'topic', durable: true })
    const declared = await channel.queueDeclare({ queue, durable: true, arguments: { 'x-queue-type': 'quorum' } })
    parked = declared.messageCount
    await channel.queueBind({ queue, exchange, routingKey: '#' })
  }
  const [exchange, queue] = [deadLetterExchange(topology), deadLetterQueue(topology)]
  await channel.exchangeDeclare({ exchange, type: 'topic', durable: true })
  const arguments_ = queueArguments(topology, isParked ? parkingExchange(topology) : null)
  const { messageCount: dead } = await channel.queueDeclare({ queue, durable: true, arguments: arguments_ })
  await channel.queueBind({ queue, exchange, routingKey: '#' })
  return { dead, parked }
}

/**
 * Declares exchanges, queues and bindings; existing ones with the same arguments do not change. Those for dead letters are declared first,
 * so that no message can be dead-lettered before they exist.
 *
 * @param parks as for `declareDeadLetters`
 * @returns statistics of the queues, which the declarations return anyway
 * @throws AMQPChannelError PRECONDITION_FAILED if one exists with other arguments
 */
export const declareTopology = async (channel: Channel, topology: Topology, parks: boolean): Promise<QueueStats> => {
  const { exchange, queue, binding } = topology
  const deadLetters = await declareDeadLetters(channel, topology, parks)
  await channel.exchangeDeclare({ exchange, type: 'topic', durable: true })
  const arguments_ = queueArguments(topology, deadLetterExchange(topology))
  const live = await channel.queueDeclare({ queue, durable: true, arguments: arguments_ })
  await channel.queueBind({ queue, exchange, routingKey: binding })
  await channel.queueBind({ queue, exchange, routingKey: binding, arguments: SECOND_BINDING })
  return { ready: live.messageCount, consumers: live.consumerCount, ...deadLetters }
}
