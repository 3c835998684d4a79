import type { BrokerAddress } from '../amqp/address.ts'
import type { Topology } from '../ingest/topology.ts'
import type { RawConfig } from './raw-config.ts'
import type { ConfigValues } from './variables.ts'

/** Address of RabbitMQ, and the broker objects that the gateway uses. */
export interface BrokerConfig {
  readonly address: BrokerAddress
  readonly topology: Topology
  /** A connection from which nothing arrives for two to two and a half times as long is lost. */
  readonly heartbeatSeconds: number
  /** Unacknowledged deliveries per consumer. */
  readonly prefetch: number
  /** Maximum bytes of bodies held between the broker and the store. */
  readonly bufferBytes: number
}

/** Requires a host if a variable that only completes one is set. */
export const validateBroker = ({ sources, problems }: RawConfig): void => {
  const names = ['RABBITMQ_PORT', 'RABBITMQ_USER', 'RABBITMQ_PASSWORD', 'RABBITMQ_VHOST'] as const
  const setNames = names.filter((name) => sources.has(name))
  if (setNames.length > 0 && !sources.has('RABBITMQ_URL') && !sources.has('RABBITMQ_HOST')) {
    problems.push(`${setNames.join(', ')} set without RABBITMQ_HOST or RABBITMQ_URL.`)
  }
}

/** @returns null in embedded mode */
export const buildBrokerConfig = (values: ConfigValues): BrokerConfig | null => {
  const address = buildAddress(values)
  if (address === null) return null
  const topology = {
    exchange: values.RABBITMQ_EXCHANGE,
    queue: values.RABBITMQ_QUEUE,
    binding: values.RABBITMQ_BINDING,
    queueType: values.RABBITMQ_QUEUE_TYPE,
  }
  return {
    address,
    topology,
    heartbeatSeconds: values.RABBITMQ_HEARTBEAT_SECONDS,
    prefetch: values.RABBITMQ_PREFETCH,
    bufferBytes: values.INGEST_BUFFER_BYTES,
  }
}

const buildAddress = (values: ConfigValues): BrokerAddress | null => {
  const address = values.RABBITMQ_URL
  if (address !== null) {
    const { RABBITMQ_CA_FILE: caFile, RABBITMQ_CERT_FILE: certFile, RABBITMQ_KEY_FILE: keyFile } = values
    return address.tls === null ? address : { ...address, tls: { caFile, certFile, keyFile } }
  }
  if (values.RABBITMQ_HOST === null) return null
  return {
    hosts: values.RABBITMQ_HOST.map((hostname) => ({ hostname, port: values.RABBITMQ_PORT })),
    username: values.RABBITMQ_USER,
    password: values.RABBITMQ_PASSWORD,
    vhost: values.RABBITMQ_VHOST,
    tls: null,
  }
}
