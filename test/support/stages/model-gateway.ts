import type { Hello } from '../../../src/web/client/index.ts'
import type { Source } from '../../../src/web/client/platform.ts'

const FIRST_OWN_LOG = 1

export interface Row {
  readonly db_id: number
  readonly text: string
}

type Frame = { readonly name: string; readonly data: string; readonly id?: number }

/** The gateway as clients see it: one store, one event, and its possible failures. */
export class ModelGateway {
  logId = `log-${FIRST_OWN_LOG}`
  rows: Row[] = []
  pruned = 0
  up = true
  /** It accepts connections and does not respond. */
  mute = false
  /** Streams are refused with this status. */
  refusal: { status: number; code?: string; retryAfter?: number } | null = null
  readonly sources = new Set<ModelSource>()
  /** URLs of all requested streams. */
  readonly asked: string[] = []
  /** Tokens of calls, as received. */
  readonly shown: (string | null)[] = []
  /** Streams require tickets, each valid once. */
  ticketed = false
  readonly #tickets = new Set<string>()
  readonly #wall: () => number
  #head = 0
  #logs = FIRST_OWN_LOG

  constructor(wall: () => number) {
    this.#wall = wall
  }

  /** The highest db_id that this store has assigned. */
  get head(): number {
    return this.#head
  }

  /** Sources that are connected. */
  get open(): ModelSource[] {
    return [...this.sources].filter((source) => source.readyState === 1)
  }

  append(count: number, gap = 0): void {
    for (let n = 0; n < count; n++) {
      this.#head += 1 + gap
      const row = { db_id: this.#head, text: JSON.stringify({ db_id: this.#head, log: this.logId }) }
      this.rows.push(row)
      for (const source of this.open) source.queue(messageFrame(row))
    }
  }

  heartbeat(): void {
    const server_time = new Date(this.#wall()).toISOString()
    for (const source of this.open) source.queue({ name: 'heartbeat', data: JSON.stringify({ server_time }) })
  }

  /** Ends all streams. @param reason sent before; null if none */
  end(reason: string | null): void {
    for (const source of this.open) {
      if (reason !== null) source.queue({ name: 'closing', data: JSON.stringify({ reason }) })
      source.fail(0)
    }
  }

  /** Data in flight is lost. */
  kill(): void {
    this.up = false
    for (const source of this.open) {
      source.lose()
      source.fail(0)
    }
  }

  start(): void {
    this.up = true
  }

  /** Deletes the oldest messages, but never the last one. */
  prune(count: number): void {
    const gone = this.rows.splice(0, Math.min(count, this.rows.length - 1))
    this.pruned = gone.at(-1)?.db_id ?? this.pruned
  }

  /** Replaces the database by another one with as many messages, or by an older copy. */
  replace(how: 'new' | 'restored', count: number): void {
    this.kill()
    this.up = true
    if (how === 'restored') {
      this.rows = this.rows.slice(0, Math.max(1, this.rows.length - count))
      this.#head = this.rows.at(-1)?.db_id ?? this.#head
      return
    }
    this.#logs += 1
    this.logId = `log-${this.#logs}`
    this.#head = this.pruned = 0
    this.rows = []
    this.append(count)
  }

  connect(source: ModelSource): void {
    this.asked.push(source.url)
    this.sources.add(source)
    if (!this.up || this.refusal !== null) {
      source.fail(this.up ? 2 : 0)
      return
    }
    const query = new URL(source.url).searchParams
    if (this.ticketed && !this.#tickets.delete(query.get('ticket') ?? '')) {
      source.fail(2)
      return
    }
    const asked = Number(query.get('last_message_db_id') ?? 0)
    const ahead = asked > this.#head
    const reason = ahead ? 'cursor_ahead' : asked > 0 && asked < this.pruned ? 'history_pruned' : null
    const cursor = reason === null ? asked : 0
    const first_db_id = this.rows[0]?.db_id ?? 0
    const hello: Hello = {
      log_id: this.logId,
      cursor,
      first_db_id,
      last_db_id: this.rows.at(-1)?.db_id ?? 0,
      server_time: new Date(this.#wall()).toISOString(),
      events: '*',
      filters: { message_type: null, message_from: null },
    }
    source.readyState = 1
    source.queue({ name: 'hello', data: JSON.stringify(hello), id: cursor })
    if (reason !== null) source.queue({ name: 'reset', data: JSON.stringify({ reason, first_db_id }) })
    for (const row of this.rows) if (row.db_id > cursor) source.queue(messageFrame(row))
    source.queue({ name: 'caught_up', data: JSON.stringify({ last_message_db_id: hello.last_db_id }) })
  }

  /** A response of fetch. @throws TypeError if the gateway is unreachable */
  async answer(url: string, options: RequestInit): Promise<Response> {
    this.shown.push(new Headers(options.headers).get('authorization'))
    if (!this.up) throw new TypeError('Failed to fetch')
    if (this.refusal === null && url.endsWith('/api/stream-tickets')) {
      const ticket = `ticket-${this.shown.length}`
      this.#tickets.add(ticket)
      return Response.json({ status: 'success', data: { ticket, expires_in: 30 } }, { status: 201 })
    }
    if (this.refusal === null) return new Response('', { headers: { 'content-type': 'text/event-stream' } })
    const { status, code, retryAfter } = this.refusal
    const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }
    return new Response(JSON.stringify(code === undefined ? {} : { code, message: code, hint: code }), {
      status,
      headers,
    })
  }
}

const messageFrame = ({ db_id, text }: Row): Frame => ({ name: 'new_message', data: text, id: db_id })

/** An EventSource whose connection is a queue: nothing arrives except through `step`. */
export class ModelSource implements Source {
  readyState: 0 | 1 | 2 = 0
  readonly url: string
  readonly #gateway: ModelGateway
  readonly #listeners = new Map<string, ((event: MessageEvent<string>) => void)[]>()
  #line: (Frame | { readonly name: 'error'; readonly readyState: 0 | 2 })[] = []
  #ended = false
  #closed = false

  constructor(gateway: ModelGateway, url: string) {
    this.url = url
    this.#gateway = gateway
    gateway.connect(this)
  }

  addEventListener(name: string, act: (event: MessageEvent<string>) => void): void {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), act])
  }

  close(): void {
    this.#closed = true
    this.readyState = 2
    this.#gateway.sources.delete(this)
  }

  queue(frame: Frame): void {
    if (!this.#ended) this.#line.push(frame)
  }

  fail(readyState: 0 | 2): void {
    this.#ended = true
    this.readyState = readyState
    this.#line.push({ name: 'error', readyState })
  }

  lose(): void {
    this.#line = []
  }

  /** @returns true if something arrived */
  step(): boolean {
    if (this.#closed || this.#gateway.mute) return false
    const next = this.#line.shift()
    if (next === undefined) return false
    if ('readyState' in next) this.readyState = next.readyState
    const event = 'data' in next ? { data: next.data, lastEventId: String(next.id ?? '') } : {}
    for (const act of this.#listeners.get(next.name) ?? []) act(event as MessageEvent<string>)
    return true
  }
}
