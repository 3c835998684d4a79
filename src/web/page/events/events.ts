import type { EventSummary } from '../../../store/store.ts'
import { type Channel, type Message, openChannel } from '../../client/index.ts'
import { gatewayPath } from '../base-path.ts'
import { type EventFacts, EventProfile, extractEventFacts } from '../room/model/event-facts.ts'
import type { ConnectionInfo } from '../room/model/room.ts'
import { type Answered, type ApiError, api, isDenied } from '../shared/api.ts'
import { renewals } from '../shared/session.ts'
import { signal } from '../shared/signal.ts'

type ListedEvent = Answered<EventSummary, 'first_at' | 'last_at'>

interface Answer {
  readonly data: readonly ListedEvent[]
  readonly has_more: boolean
  readonly log_id: string
}

interface EventList {
  readonly is: 'loading' | 'loaded' | 'failed'
  readonly error: unknown
  /** Latest activity first. */
  readonly events: readonly EventSummary[]
  readonly hasMore: boolean
  readonly logId: string
  /** Name, severity and status of the events whose messages contain them, by event id. */
  readonly profiles: ReadonlyMap<string, EventFacts>
}

/** Types of messages that contain the name or the status of their event. */
const PROFILE_TYPES = [
  ...['system_notification', 'llm_request', 'llm_response', 'event_next_round_initiated', 'event_summary', 'status'],
  ...['event_summary_generated', 'event_completed_by_captain', 'event_resolved_manual'],
].join()
/** Messages of these types that are read of one event. */
const PROFILE_MESSAGES = 10
/** Number of events, latest activity first, whose names are loaded; names of others come with their messages. */
const MAX_PROFILES = 100

const PAGE = 200
/** Minimum time between two updates of the list in milliseconds, since moving rows are hard to click. */
const UPDATE_INTERVAL_MS = 500
const RETRY_MS = 3_000

/** Ends when a request that failed can be repeated: after a denial with a new token, else after a pause. */
const untilRetry = (error: unknown): Promise<void> =>
  new Promise((resolve) => {
    if (!isDenied(error)) return void window.setTimeout(resolve, RETRY_MS)
    const end = renewals.subscribe(() => {
      end()
      resolve()
    })
  })

const toSummary = (event: ListedEvent): EventSummary => ({
  ...event,
  first_at: Date.parse(event.first_at),
  last_at: Date.parse(event.last_at),
})

/** The events that the user can read: loaded once, then updated with each message of the stream. */
export class EventListStore {
  readonly #profiles = new Map<string, EventProfile>()
  readonly list = signal<EventList>({
    is: 'loading',
    error: null,
    events: [],
    hasMore: false,
    logId: '',
    profiles: this.#profiles,
  })
  readonly line = signal<ConnectionInfo>({ channel: null, error: null, reset: null })
  readonly #events = new Map<string, EventSummary>()
  /** Events that may have messages that are not counted; their count is requested with their next message. */
  readonly #uncounted = new Set<string>()
  #channel: Channel | null = null
  #timer = 0
  #retry = 0
  #over = false
  #endRenewals = (): void => undefined
  /** Increments with each load of the list: the response to an earlier one is dropped. */
  #epoch = 0
  /** The last load that is complete. */
  #loadedEpoch = 0

  start(): void {
    this.#endRenewals = renewals.subscribe(() => this.#continue())
    this.#load()
  }

  stop(): void {
    this.#endRenewals()
    this.#over = true
    this.#epoch++
    clearTimeout(this.#timer)
    clearTimeout(this.#retry)
    this.#channel?.close()
  }

  /** Connects now if the stream waits, or if a refusal has closed it. */
  retry(): void {
    this.#channel?.retry()
  }

  reload(): void {
    clearTimeout(this.#retry)
    this.#channel?.close()
    this.#channel = null
    this.#load()
  }

  /** Continues with a new token after a refusal. */
  #continue(): void {
    if (this.list.get().is === 'loaded') this.retry()
    else this.reload()
  }

  /** Loads older events. */
  async more(): Promise<void> {
    const epoch = this.#epoch
    if (epoch !== this.#loadedEpoch) return
    const last = Math.min(...[...this.#events.values()].map(({ last_db_id }) => last_db_id))
    try {
      const { data, has_more } = await api<Answer>(`/api/events?limit=${PAGE}&before=${last}`)
      if (epoch !== this.#epoch) return
      for (const one of data) if (!this.#events.has(one.event_id)) this.#events.set(one.event_id, toSummary(one))
      this.#publish({ hasMore: has_more, error: null })
    } catch (error) {
      if (epoch === this.#epoch) this.#publish({ error })
    }
  }

  async #load(): Promise<void> {
    if (this.#over) return
    const epoch = ++this.#epoch
    try {
      const { data, has_more, log_id } = await api<Answer>(`/api/events?limit=${PAGE}`)
      if (epoch !== this.#epoch) return
      this.#loadedEpoch = epoch
      this.#events.clear()
      this.#uncounted.clear()
      this.#profiles.clear()
      for (const one of data) this.#events.set(one.event_id, toSummary(one))
      this.#publish({ is: 'loaded', error: null, hasMore: has_more, logId: log_id })
      this.#follow(data[0]?.last_db_id ?? 0, log_id)
      void this.#loadProfiles(data, epoch)
    } catch (error) {
      if (epoch !== this.#epoch) return
      this.#publish({ is: 'failed', error })
      if (!isDenied(error)) this.#retry = window.setTimeout(() => this.#load(), RETRY_MS)
    }
  }

  /** @param last the greatest db_id included in the list */
  #follow(last: number, logId: string): void {
    const channel = openChannel(gatewayPath('/api/stream?event_id=*'), {
      lastMessageDbId: last,
      logId,
      onMessage: (message) => {
        this.#learn(message)
        this.#count(message)
      },
      onState: (_state, status) => channel === this.#channel && this.line.set({ ...this.line.get(), channel: status }),
      onReset: () => queueMicrotask(() => channel === this.#channel && this.reload()),
    })
    this.#channel = channel
  }

  /** Loads the names of the newest events, one after the other, since the list itself has only ids. */
  async #loadProfiles(events: readonly ListedEvent[], epoch: number): Promise<void> {
    for (const { event_id, last_db_id } of events.slice(0, MAX_PROFILES)) {
      const query = `before=${last_db_id + 1}&limit=${PROFILE_MESSAGES}&message_type=${PROFILE_TYPES}`
      const path = `/api/events/${encodeURIComponent(event_id)}/messages?${query}`
      const answer = await this.#request<{ data: readonly Message[] }>(path)
      if (epoch !== this.#epoch) return
      for (const message of answer?.data ?? []) this.#learn(message)
    }
  }

  #learn(message: Message): void {
    const facts = extractEventFacts(message)
    if (facts === null) return
    const { event_id, db_id } = message
    const profile = this.#profiles.get(event_id) ?? new EventProfile()
    this.#profiles.set(event_id, profile)
    if (profile.add(db_id, facts)) this.#publishSoon()
  }

  #publishSoon(): void {
    this.#timer ||= window.setTimeout(() => this.#publish({}), UPDATE_INTERVAL_MS)
  }

  #count({ event_id, db_id, received_at }: Message): void {
    const known = this.#events.get(event_id)
    if (known !== undefined && db_id <= known.last_db_id) return
    const at = Date.parse(received_at)
    this.#events.set(event_id, {
      event_id,
      messages: (known?.messages ?? 0) + 1,
      first_db_id: known?.first_db_id ?? db_id,
      last_db_id: db_id,
      first_at: known?.first_at ?? at,
      last_at: at,
    })
    // An event that is not in the list may be an old one with messages that were not counted.
    if (known === undefined && this.list.get().hasMore) this.#uncounted.add(event_id)
    if (this.#uncounted.delete(event_id)) void this.#ask(event_id)
    this.#publishSoon()
  }

  /** Loads the message count of an event; repeats if a new message arrives meanwhile. */
  async #ask(event_id: string): Promise<void> {
    const epoch = this.#epoch
    const before = this.#events.get(event_id)!
    const answer = await this.#request<Answer>(`/api/events?limit=1&before=${before.last_db_id + 1}`)
    if (epoch !== this.#epoch) return
    const now = this.#events.get(event_id)!
    const one = answer?.data[0]
    if (one?.event_id === event_id) {
      const messages = one.messages + now.messages - before.messages
      const { first_db_id, first_at } = toSummary(one)
      this.#events.set(event_id, { ...now, messages, first_db_id, first_at })
      this.#publish({})
    } else if (now.last_db_id > before.last_db_id) void this.#ask(event_id)
    // A newer message is stored and not received yet.
    else this.#uncounted.add(event_id)
  }

  /** Repeats a request until it succeeds. @returns null if that is useless, or if the list was loaded again meanwhile */
  async #request<T>(path: string): Promise<T | null> {
    const epoch = this.#epoch
    while (epoch === this.#epoch) {
      try {
        return await api<T>(path)
      } catch (error) {
        const { status } = error as ApiError
        if (status >= 400 && status < 500 && status !== 429 && !isDenied(error)) return null
        await untilRetry(error)
      }
    }
    return null
  }

  #publish(change: Partial<EventList>): void {
    clearTimeout(this.#timer)
    this.#timer = 0
    const events = [...this.#events.values()].sort((a, b) => b.last_db_id - a.last_db_id)
    this.list.set({ ...this.list.get(), events, ...change })
  }
}
