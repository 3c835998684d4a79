/** W3C Trace Context: a version, the trace, the span that sent it, and flags. Zeros alone name nothing. */
const TRACEPARENT = /^([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?$/s

/**
 * What a header says of the trace that it belongs to, in the form of version 00; null where it says nothing valid. A
 * later version may have more behind its flags, which is left out.
 */
export const parseTraceparent = (header: unknown): string | null => {
  const [, version, known, more] = typeof header === 'string' ? (TRACEPARENT.exec(header) ?? []) : []
  if (known === undefined || version === 'ff' || (version === '00' && more !== undefined)) return null
  return `00-${known}`
}

/** Facts of a span by their names in OpenTelemetry's conventions. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface SpanOptions {
  readonly name: string
  /** `consumer`: takes what somebody sent through a broker; `server`: answers a request. */
  readonly kind: 'consumer' | 'server'
  /** Milliseconds since 1970. */
  readonly at: number
  readonly attributes: SpanAttributes
}

/** Work under way that a trace will show. */
export interface Span {
  /** Names this span, for what it passes on. */
  readonly traceparent: string
  /** @param error why the work failed; null: it did not */
  end(error: string | null, facts?: SpanAttributes): void
}

/** Begins a span below the one that a traceparent names. */
export type Tracer = (traceparent: string, start: SpanOptions) => Span
