import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Json, until } from '../harness/wait.ts'

/** A span as in OTLP JSON, with its attributes as an object. */
export type ReceivedSpan = {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly kind: number
  /** Milliseconds. */
  readonly tookMs: number
  readonly status: { code?: number; message?: string }
  readonly facts: Record<string, Json>
  readonly resource: Record<string, Json>
}

/** A receiver of spans, like an OpenTelemetry collector. */
export interface Otlp {
  readonly endpoint: string
  readonly spans: readonly ReceivedSpan[]
  /** The headers of the last export. */
  readonly headers: Record<string, unknown>
  /** Status of all responses from now on. */
  answer: number
  /** Resolves with the first span that matches. */
  span(wanted: (span: ReceivedSpan) => boolean, what: string): Promise<ReceivedSpan>
  dispose(): Promise<void>
}

const parseAttributes = (attributes: Json[] = []): Record<string, Json> =>
  Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [[type, one]] = Object.entries<Json>(value) as [[string, Json]]
      return [key, type === 'intValue' ? Number(one) : one]
    }),
  )

const parseSpans = (body: Json): ReceivedSpan[] =>
  body.resourceSpans.flatMap(({ resource, scopeSpans }: Json) =>
    scopeSpans.flatMap(({ spans }: Json) =>
      spans.map(({ attributes, startTimeUnixNano, endTimeUnixNano, ...span }: Json) => ({
        ...span,
        tookMs: Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6,
        facts: parseAttributes(attributes),
        resource: parseAttributes(resource.attributes),
      })),
    ),
  )

export const startOtlp = async (): Promise<Otlp> => {
  const spans: ReceivedSpan[] = []
  const otlp = { answer: 200, headers: {} as Record<string, unknown> }
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.once('end', () => {
      const isExport = request.method === 'POST' && request.url === '/v1/traces'
      response.writeHead(isExport ? otlp.answer : 404, { 'Content-Type': 'application/json' }).end('{}')
      if (!isExport || otlp.answer !== 200) return
      otlp.headers = request.headers
      spans.push(...parseSpans(JSON.parse(text)))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(otlp, {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    async span(wanted: (span: ReceivedSpan) => boolean, what: string) {
      await until(() => spans.some(wanted), { what: `a span: ${what}` })
      return spans.find(wanted)!
    },
    async dispose() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}
