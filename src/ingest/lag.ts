import type { BasicProperties } from '../amqp/delivery-frames.ts'
import type { LagReference } from '../core/lag-reference.ts'

/** A time in milliseconds since 1970, and its source. */
export interface PublishTime {
  readonly at: number
  readonly since: LagReference
}

/** Smallest number accepted as a timestamp, in seconds since 1970. */
const MIN_TIMESTAMP = 1_000_000_000
/** Header that RabbitMQ itself sets. */
const BROKER_STAMP = 'timestamp_in_ms'

/** Returns when a message was published, as far as it is known; never later than `now`, since clocks differ. */
export const getPublishTime = ({ headers, timestamp }: BasicProperties, now: number): PublishTime => {
  const stamp = headers?.[BROKER_STAMP]
  if (typeof stamp === 'number' && stamp > MIN_TIMESTAMP * 1_000) return { at: Math.min(stamp, now), since: 'broker' }
  if (timestamp !== undefined && timestamp > MIN_TIMESTAMP)
    return { at: Math.min(timestamp * 1_000, now), since: 'publisher' }
  return { at: now, since: 'arrival' }
}
