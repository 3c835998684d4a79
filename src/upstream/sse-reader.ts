import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { MAX_TIMER_MS } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'

export interface SseReaderOptions {
  /** Idle timeout in milliseconds: `onSilence` is called if nothing is received for this long. */
  readonly silenceMs: number
  readonly onSilence: () => void
  /** Called with the reconnection delay that the server sends, in milliseconds. */
  readonly onRetry?: (ms: number) => void
}

/** Parses the SSE events of a body, chunk by chunk, reading only as fast as they are consumed. */
export async function* readSseEvents(
  body: ReadableStream<Uint8Array>,
  { silenceMs, onSilence, onRetry }: SseReaderOptions,
): AsyncGenerator<EventSourceMessage[]> {
  const pending: EventSourceMessage[] = []
  const parser = createParser({
    onEvent: (event) => pending.push(event),
    ...(onRetry === undefined ? {} : { onRetry }),
  })
  const decoder = new TextDecoder()
  const reader = body.getReader()
  try {
    while (true) {
      // The timer runs only while waiting for the server, not while the consumer of the events is slow.
      const timer = setTimeout(onSilence, Math.min(silenceMs, MAX_TIMER_MS))
      const { done, value } = await reader.read().finally(() => clearTimeout(timer))
      if (done) return
      parser.feed(decoder.decode(value, { stream: true }))
      if (pending.length > 0) yield pending.splice(0)
    }
  } finally {
    // The events that were not read are not needed.
    void reader.cancel().catch(noop)
  }
}
