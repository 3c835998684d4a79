/**
 * Starts of the measured ingest lag, the most meaningful first:
 * - `broker`: the time at which RabbitMQ received the message, set by its message interceptor or by the older plugin.
 * - `publisher`: the property `timestamp`, in whole seconds, by the publisher's clock.
 * - `arrival`: the time at which the gateway received the message, since no earlier time is known.
 */
export const LAG_REFERENCES = ['broker', 'publisher', 'arrival'] as const

export type LagReference = (typeof LAG_REFERENCES)[number]
