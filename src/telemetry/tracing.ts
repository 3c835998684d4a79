import type { Tracer as SdkTracer } from '@opentelemetry/api'
import type { SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Logger } from 'pino'
import { noop } from '../core/noop.ts'
import type { Tracer } from '../core/trace.ts'
import { withTimeout } from '../platform/with-timeout.ts'

export interface TracingConfig {
  /** Base URL of an OTLP receiver, without `/v1/traces`. */
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
}

export interface TracingOptions {
  /** null if tracing is disabled. */
  readonly config: TracingConfig | null
  readonly version: string
  readonly logger: Logger
}

/** Timeout for sending the remaining spans at shutdown, in milliseconds. */
const FLUSH_TIMEOUT_MS = 1_000
/** Timeout of one export, in milliseconds. */
const EXPORT_TIMEOUT_MS = 5_000

/**
 * Creates OpenTelemetry spans and exports them by OTLP over HTTP. Only work that arrives with a traceparent gets a span, and only if its
 * sampled flag is set: the agents decide what is traced. Spans that cannot be exported are dropped; nothing waits for them.
 */
export class Tracing {
  readonly #options: TracingOptions
  #provider: TracerProvider | null = null
  #startSpan: Tracer | null = null

  constructor(options: TracingOptions) {
    this.#options = options
  }

  /** Starts spans, usable after `start`; null if tracing is disabled. */
  get tracer(): Tracer | null {
    if (this.#options.config === null) return null
    return (traceparent, start) => this.#startSpan!(traceparent, start)
  }

  /** Loads OpenTelemetry only if tracing is enabled: it takes 100 ms of processor time and 22 MB. */
  async start(): Promise<void> {
    const { config, version, logger } = this.#options
    if (config === null) return
    const [api, sdk, { resourceFromAttributes }, { OTLPTraceExporter }] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/exporter-trace-otlp-http'),
    ])
    const url = `${config.endpoint.replace(/\/+$/, '')}/v1/traces`
    const exporter = withStateLogging(
      new OTLPTraceExporter({ url, headers: { ...config.headers }, timeoutMillis: EXPORT_TIMEOUT_MS }),
      {
        failed: (error) => logger.warn({ err: error, endpoint: config.endpoint }, 'trace export failed, spans dropped'),
        recovered: () => logger.info({ endpoint: config.endpoint }, 'trace export recovered'),
      },
    )
    this.#provider = new sdk.TracerProvider({
      resource: resourceFromAttributes({ 'service.name': config.serviceName, 'service.version': version }),
      spanProcessors: [
        new sdk.BatchSpanProcessor({ exporter, exportTimeoutMillis: EXPORT_TIMEOUT_MS, scheduledDelayMillis: 1_000 }),
      ],
      sampler: new sdk.ParentBasedSampler({ root: new sdk.AlwaysOffSampler() }),
    })
    this.#startSpan = createTracer(api, this.#provider.getTracer('deepsoc-gateway', version))
  }

  /** Exports the remaining spans, for at most one second. */
  async stop(): Promise<void> {
    if (this.#provider === null) return
    // Ignored: the exporter has already logged the error.
    await withTimeout(FLUSH_TIMEOUT_MS, this.#provider.shutdown().catch(noop))
  }
}

const createTracer = (api: typeof import('@opentelemetry/api'), tracer: SdkTracer): Tracer => {
  const kinds = { consumer: api.SpanKind.CONSUMER, server: api.SpanKind.SERVER }
  return (traceparent, { name, kind, at, attributes }) => {
    const [, traceId, spanId, flags] = traceparent.split('-') as [string, string, string, string]
    const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
    const context = api.trace.setSpanContext(api.ROOT_CONTEXT, parent)
    const span = tracer.startSpan(name, { kind: kinds[kind], startTime: at, attributes }, context)
    // An unsampled span is not exported, so propagate the parent to keep the trace connected.
    const spanContext = span.isRecording() ? span.spanContext() : parent
    return {
      traceparent: `00-${spanContext.traceId}-${spanContext.spanId}-${spanContext.traceFlags.toString(16).padStart(2, '0')}`,
      end(error, extra = {}) {
        span.setAttributes(extra)
        if (error !== null) span.setStatus({ code: api.SpanStatusCode.ERROR, message: error })
        span.end()
      },
    }
  }
}

/** Reports the first failure of an exporter, and each later change between failure and success. */
const withStateLogging = (
  exporter: SpanExporter,
  { failed, recovered }: { failed: (error: unknown) => void; recovered: () => void },
): SpanExporter => {
  let isFailing = false
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        // ExportResultCode.SUCCESS
        const hasFailed = result.code !== 0
        if (hasFailed !== isFailing) hasFailed ? failed(result.error) : recovered()
        isFailing = hasFailed
        done(result)
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  }
}
