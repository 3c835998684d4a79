import type { IncomingHttpHeaders } from 'node:http'
import { createParser } from 'eventsource-parser'
import { WAIT_MS } from '../harness/limits.ts'
import { type Answer, ask } from '../harness/transport.ts'
import { type Json, until } from '../harness/wait.ts'

/** `event` is `message` if the stream names none; `data` is the parsed JSON, undefined if it is not JSON. */
export type ParsedEvent = { event: string; id: string | undefined; data: Json; rawData: string }

/** Why a stream ended: by the server's last byte, by a lost connection, or by `close()` or the signal. */
export type SseEnd = { reason: 'ended' | 'broken' | 'closed'; error?: Error }

export type SseStream = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** All events so far, in order. */
  readonly events: ParsedEvent[]
  /** Comments of the stream (`: …`). */
  readonly comments: string[]
  /** Protocol violations that the parser found. */
  readonly parseErrors: Error[]
  /** All body bytes so far. */
  raw(): Buffer
  /** The last `id:`, '' before the first. */
  readonly lastEventId: string
  /** The last `retry:`, in milliseconds. */
  readonly retry: number | undefined
  /**
   * Returns the first event after the one returned by the previous `next` that matches the predicate or name; throws if
   * the stream ends before, or at the time limit.
   */
  next(predicate?: ((event: ParsedEvent) => boolean) | string): Promise<ParsedEvent>
  /** Resolves when the condition holds; throws if the stream ends before, or at the time limit. */
  waitFor(condition: (stream: SseStream) => boolean): Promise<void>
  /** Stops reading from the socket, so that the server's buffers fill; `resume` continues. */
  pause(): void
  resume(): void
  close(): void
  /** Resolves when the stream has ended for any reason; never rejects. */
  readonly closed: Promise<SseEnd>
}

export type SseOptions = {
  headers?: Record<string, string>
  signal?: AbortSignal
  /** Called with each event as it arrives. */
  onEvent?: (event: ParsedEvent) => void
  /** Called with each `retry:` and each `id:`. */
  onRetry?: (ms: number) => void
  onId?: (id: string) => void
  /** If false, events and bytes are not kept, for long-running streams. */
  keep?: boolean
}

const parseData = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Opens a stream over the transport of this process; resolves with the head of the response, whatever its status.
 * @throws the socket's error if there is no response
 */
export const openSse = async (url: string, options: SseOptions = {}): Promise<SseStream> => {
  const { headers = {}, signal } = options
  const all = { accept: 'text/event-stream', 'cache-control': 'no-cache', ...headers }
  return readStream(await ask(url, { method: 'GET', headers: all, signal }).answer, options)
}

const readStream = (answer: Answer, { onEvent, onRetry, onId, signal, keep = true }: SseOptions): SseStream => {
  const response = answer.body
  const events: ParsedEvent[] = []
  const comments: string[] = []
  const parseErrors: Error[] = []
  const chunks: Buffer[] = []
  const watchers = new Set<() => void>()
  let lastEventId = ''
  let retry: number | undefined
  let taken = 0
  let end: SseEnd | undefined
  let closedHere = false

  const notify = (): void => {
    for (const watcher of [...watchers]) watcher()
  }

  const parser = createParser({
    onId: (id) => {
      lastEventId = id
      onId?.(id)
    },
    onRetry: (ms) => {
      retry = ms
      onRetry?.(ms)
    },
    onComment: (comment) => void comments.push(comment),
    onError: (error) => void parseErrors.push(error),
    onEvent: ({ event = 'message', id, data }) => {
      const parsed: ParsedEvent = { event, id, data: parseData(data), rawData: data }
      if (keep) events.push(parsed)
      onEvent?.(parsed)
    },
  })
  const decoder = new TextDecoder()

  const closed = new Promise<SseEnd>((resolve) => {
    let error: Error | undefined
    response.on('error', (problem) => {
      error = problem
    })
    response.once('close', () => {
      const reason = closedHere || signal?.aborted ? 'closed' : answer.complete() ? 'ended' : 'broken'
      end = { reason, ...(reason === 'broken' && error && { error }) }
      notify()
      resolve(end)
    })
  })

  response.on('data', (chunk: Buffer) => {
    if (keep) chunks.push(chunk)
    parser.feed(decoder.decode(chunk, { stream: true }))
    notify()
  })

  const wait = <T>(look: () => T | undefined, what: string): Promise<T> =>
    new Promise((resolve, reject) => {
      const seen = (): string => {
        const last = events.slice(-5).map(({ event, id }) => (id === undefined ? event : `${event} ${id}`))
        return `; status ${stream.status}, ${events.length} events, the last: ${last.join(', ') || 'none'}`
      }
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        watchers.delete(check)
        act()
      }
      const check = (): void => {
        const found = look()
        if (found !== undefined) settle(() => resolve(found))
        else if (end) settle(() => reject(new Error(`the stream ${end?.reason} before ${what}${seen()}`)))
      }
      const timer = setTimeout(
        () => settle(() => reject(new Error(`${what} not within ${WAIT_MS} ms${seen()}`))),
        WAIT_MS,
      )
      watchers.add(check)
      check()
    })

  const stream: SseStream = {
    status: answer.status,
    headers: answer.headers,
    events,
    comments,
    parseErrors,
    raw: () => Buffer.concat(chunks),
    get lastEventId() {
      return lastEventId
    },
    get retry() {
      return retry
    },
    next(predicate = () => true) {
      const matches =
        typeof predicate === 'string' ? ({ event }: ParsedEvent): boolean => event === predicate : predicate
      const look = (): ParsedEvent | undefined => {
        const index = events.findIndex((event, position) => position >= taken && matches(event))
        if (index < 0) return undefined
        taken = index + 1
        return events[index]
      }
      return wait(look, `the event ${predicate}`)
    },
    async waitFor(condition) {
      await wait(() => condition(stream) || undefined, `${condition}`)
    },
    pause: () => answer.pause(),
    resume: () => answer.resume(),
    close() {
      closedHere = true
      answer.destroy()
    },
    closed,
  }
  return stream
}

/** Returns the `db_id`s of a stream's `new_message` events, in arrival order. */
export const collectIds = (stream: Pick<SseStream, 'events'>): number[] =>
  stream.events.filter(({ event }) => event === 'new_message').map(({ data }) => data.db_id as number)

export type ReaderOptions = {
  headers?: Record<string, string>
  /** Called with each `new_message`. */
  onMessage?: (event: ParsedEvent) => void
  /** Delay before a reconnect until the stream sends another `retry:`, in milliseconds; browsers take 3000 or more. */
  retryMs?: number
  /** If false, it reconnects after `retryMs`, whatever `retry:` is. */
  obeysRetry?: boolean
  /** True if it also reconnects after 502, 503 and 504, as /client.js does. */
  isPatient?: boolean
}

const UNAVAILABLE = [502, 503, 504]

/**
 * A client that reconnects like a browser's EventSource: after any lost connection, with the original URL and the
 * header Last-Event-ID, after the delay set by `retry:`. It gives up on anything but 200 and an event stream.
 */
export class Reader {
  /** The `db_id`s of all `new_message` events across reconnects, in arrival order, duplicates included. */
  readonly ids: number[] = []
  /** Number of events by name. */
  readonly counts: Record<string, number> = {}
  /** Data of every event except `new_message` and `heartbeat`. */
  readonly control: ParsedEvent[] = []
  /** Number of connections with status 200. */
  connections = 0
  /** Why it gave up permanently, as an EventSource would. */
  failed: string | undefined
  lastEventId = ''
  retryMs: number
  readonly #url: string | (() => string)
  readonly #options: ReaderOptions
  readonly #stopped = new AbortController()
  #stream: SseStream | undefined
  #loop: Promise<void> | undefined

  /** If `url` is a function, it is called for each connection. */
  constructor(url: string | (() => string), options: ReaderOptions = {}) {
    this.#url = url
    this.#options = options
    this.retryMs = options.retryMs ?? 3000
  }

  /** Starts connecting; returns itself. */
  start(): this {
    this.#loop ??= this.#run()
    return this
  }

  /** Resolves when `count` messages, duplicates included, have arrived; throws if it gave up, or at the time limit. */
  async waitForCount(count: number): Promise<void> {
    await this.#waitFor(() => this.ids.length >= count, `${count} messages`)
  }

  /** Resolves when the message with that `db_id` has arrived. */
  async waitForId(id: number): Promise<void> {
    await this.#waitFor(() => this.ids.includes(id), `the message ${id}`)
  }

  /** Resolves when this many connections have been made. */
  async waitForConnections(count: number): Promise<void> {
    await this.#waitFor(() => this.connections >= count, `${count} connections`)
  }

  /** Breaks the connection from this side; the client reconnects. */
  drop(): void {
    this.#stream?.close()
  }

  /** Stops reading from the socket of this connection; `resume` continues. */
  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#stream?.resume()
  }

  /** Stops permanently. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#stream?.close()
    await this.#loop
  }

  async #waitFor(condition: () => boolean, what: string): Promise<void> {
    const saw = (): string =>
      `${this.ids.length} messages, the last ${this.ids.at(-1)}, in ${this.connections} connections`
    await until(() => condition() || this.failed !== undefined, { what, saw })
    if (!condition()) throw new Error(`${what}: the reader gave up: ${this.failed}`)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted && this.failed === undefined) {
      try {
        await this.#connect(signal)
      } catch {
        // No connection: an EventSource retries as well.
      }
      if (this.failed === undefined) await pause(this.retryMs, signal)
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const url = typeof this.#url === 'string' ? this.#url : this.#url()
    const resume: Record<string, string> = this.lastEventId === '' ? {} : { 'last-event-id': this.lastEventId }
    const stream = await openSse(url, {
      headers: { ...this.#options.headers, ...resume },
      signal,
      keep: false,
      onId: (id) => {
        this.lastEventId = id
      },
      onRetry: (ms) => {
        if (this.#options.obeysRetry !== false) this.retryMs = ms
      },
      onEvent: (event) => this.#take(event),
    })
    this.#stream = stream
    const type = String(stream.headers['content-type'])
    if (stream.status !== 200 || !type.startsWith('text/event-stream')) {
      if (!this.#options.isPatient || !UNAVAILABLE.includes(stream.status)) this.failed = `${stream.status} ${type}`
      stream.close()
      return
    }
    this.connections += 1
    await stream.closed
  }

  #take(event: ParsedEvent): void {
    this.counts[event.event] = (this.counts[event.event] ?? 0) + 1
    if (event.event === 'new_message') {
      this.ids.push(event.data.db_id)
      this.#options.onMessage?.(event)
    } else if (event.event !== 'heartbeat') {
      this.control.push(event)
    }
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
