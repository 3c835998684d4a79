import type { BasicProperties } from '../amqp/delivery-frames.ts'

/**
 * From when on a delay is counted. `broker`: RabbitMQ stamps messages as they come in (its message interceptor, or the
 * plugin of before). `publisher`: the property `timestamp`, in whole seconds, by the publisher's clock. `arrival`:
 * nothing is known of the time before the gateway had the message.
 */
export type LagReference = 'broker' | 'publisher' | 'arrival'

/** A time in milliseconds since 1970, and whose it is. */
export interface PublishTime {
  readonly at: number
  readonly since: LagReference
}

/** Seconds since 1970: what is smaller is some other number, and no time. */
const MIN_TIMESTAMP = 1_000_000_000
/** The header that RabbitMQ itself sets. */
const BROKER_STAMP = 'timestamp_in_ms'

/** When a message set out, as far as it is known; never later than `now`, since clocks differ. */
export const publishTimeOf = ({ headers, timestamp }: BasicProperties, now: number): PublishTime => {
  const stamp = headers?.[BROKER_STAMP]
  if (typeof stamp === 'number' && stamp > MIN_TIMESTAMP * 1_000) return { at: Math.min(stamp, now), since: 'broker' }
  if (timestamp !== undefined && timestamp > MIN_TIMESTAMP)
    return { at: Math.min(timestamp * 1_000, now), since: 'publisher' }
  return { at: now, since: 'arrival' }
}
