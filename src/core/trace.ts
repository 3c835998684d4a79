/** W3C Trace Context: version, trace id, id of the sending span, and flags. Ids of zeros only are invalid. */
const TRACEPARENT = /^([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?$/s

/**
 * Parses a traceparent header and returns it in the form of version 00, or null if it is invalid. A later version can have more after its
 * flags, which is removed.
 */
export const parseTraceparent = (header: unknown): string | null => {
  const [, version, ids, extra] = typeof header === 'string' ? (TRACEPARENT.exec(header) ?? []) : []
  if (ids === undefined || version === 'ff' || (version === '00' && extra !== undefined)) return null
  return `00-${ids}`
}

/** Attributes of a span, named by OpenTelemetry's conventions. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface SpanOptions {
  readonly name: string
  /** `consumer`: processes a message from a broker; `server`: handles a request. */
  readonly kind: 'consumer' | 'server'
  /** Start time in milliseconds since 1970. */
  readonly at: number
  readonly attributes: SpanAttributes
}

/** A span that has started and not ended. */
export interface Span {
  /** Identifies this span as the parent of later work. */
  readonly traceparent: string
  /** @param error the reason why the work failed, or null if it succeeded */
  end(error: string | null, attributes?: SpanAttributes): void
}

/** Starts a span as a child of the one identified by a traceparent. */
export type Tracer = (traceparent: string, start: SpanOptions) => Span
