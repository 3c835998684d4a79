import type { BrokerAddress } from '../amqp/address.ts'
import { type OpenConnection, ReconnectingConnection } from '../amqp/connection.ts'
import { type BrokerError, toBrokerError } from '../amqp/errors.ts'
import type { FrameLoop } from '../amqp/rabbitmq-client-patch.ts'
import { GatewayError } from '../core/errors.ts'
import type { HealthRegistry } from '../monitoring/health.ts'

export interface ComponentConnectionOptions {
  readonly address: BrokerAddress
  /** Name of the component in `/readyz`, and of the connection at the broker. */
  readonly component: 'consumer' | 'publisher'
  readonly health: HealthRegistry
  /** RABBITMQ_HEARTBEAT_SECONDS. */
  readonly heartbeatSeconds: number
  readonly readFrames: FrameLoop | null
  readonly use: (open: OpenConnection) => Promise<void>
  /** Called when an attempt fails, or when an open connection is lost. */
  readonly onError?: () => void
}

/**
 * Creates a connection to the broker that reports its state as the state of a component.
 *
 * @throws GatewayError amqp_client_incompatible
 */
export const createComponentConnection = (options: ComponentConnectionOptions): ReconnectingConnection => {
  const { address, component, health, heartbeatSeconds, readFrames, use, onError } = options
  const ready = (open: OpenConnection): void => {
    open.ready()
    health.markHealthy(component)
  }
  try {
    return new ReconnectingConnection({
      address,
      name: `deepsoc-gateway ${component}`,
      heartbeatSeconds,
      readFrames,
      use: (open) => use({ ...open, ready: () => ready(open) }),
      onError: (error) => {
        health.markFailed(component, brokerToGatewayError(error))
        onError?.()
      },
    })
  } catch (error) {
    throw brokerToGatewayError(toBrokerError(error, false))
  }
}

/** Converts a BrokerError to a GatewayError with the corresponding code of the catalogue. */
export const brokerToGatewayError = ({ code, message, cause }: BrokerError): GatewayError =>
  new GatewayError(code === 'broker_name_missing' ? 'broker_error' : code, message, { cause })
