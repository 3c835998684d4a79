import { type Channel, type ChannelStatus, openChannel, type Reset, type StateReason } from '../../../client/index.ts'
import { gatewayPath } from '../../base-path.ts'
import { renewals } from '../../shared/session.ts'
import { signal } from '../../shared/signal.ts'
import { lowerBound } from '../timeline/rows.ts'
import { type Entry, toEntry } from './entry.ts'
import { EventProfile } from './event-facts.ts'
import { FilteredMessages } from './filtered-messages.ts'
import { countMessages, END, getFirstDbId, type MessageCount, readAround, readHistory } from './history.ts'
import { addRange, findGaps, insertEntries, type LoadedRange } from './loaded-ranges.ts'
import { MessageCounts } from './message-counts.ts'
import { openingError } from './opening-error.ts'

/** Size of the first page: enough to fill a screen, and fast to load. */
const FIRST_PAGE = 120
const PAGE = 2_000
/** Messages that are loaded before and after one that was requested by its db_id. */
const AROUND = 60
const GAP_PAGE = 500
/** Messages of history that are loaded automatically; more on request. */
const AUTO_HISTORY = 6_000
/** Maximum time for processing live messages between two frames, in milliseconds. */
const BURST_MS = 8
/** Delay without an animation frame after which the tab is considered hidden, in milliseconds. */
const HIDDEN_MS = 250

interface HistoryState {
  readonly is: 'loading' | 'resting' | 'whole' | 'failed'
  /** More history was requested than is loaded automatically. */
  readonly historyWanted: boolean
  readonly error: unknown
}

/** Connection of the room; `channel` is null until the first page is loaded. */
export interface ConnectionInfo {
  readonly channel: ChannelStatus | null
  /** Why the first page could not be loaded, and when the next attempt is due; null if there is none. */
  readonly error: { readonly reason: StateReason; readonly retryAt: number | null } | null
  readonly reset: Reset | null
}

/** A war room: loads the newest messages, then follows the stream and loads history backwards. */
export class RoomModel {
  readonly eventId: string
  readonly selection = new FilteredMessages(() => this.changed.set(this.changed.get() + 1))
  /** Increments when the loaded or shown messages change. */
  readonly changed = signal(0)
  readonly line = signal<ConnectionInfo>({ channel: null, error: null, reset: null })
  readonly history = signal<HistoryState>({ is: 'loading', historyWanted: false, error: null })
  /** Ascending. There can be gaps, see `ranges`. */
  entries: readonly Entry[] = []
  /** What is loaded, ascending; the last range ends with the newest message. */
  ranges: readonly LoadedRange[] = []
  /** The db_ids after which there is a gap, see findGaps. */
  gaps: readonly number[] = []
  tally = new MessageCounts()
  /** Name, severity and status by the loaded messages. */
  profile = new EventProfile()
  /** Number of messages of the event; null if unknown. */
  total: number | null = null
  /** The gateway's count, which gives the total once the last counted message is loaded. */
  #counted: MessageCount | null = null
  #channel: Channel | null = null
  /** The log_id of the loaded messages. */
  logId = ''
  #epoch = 0
  #over = false
  #endRenewals = (): void => undefined
  #retry = 0
  #pending: Entry[] = []
  #flushing = false
  #historyWanted: () => boolean = () => false

  constructor(eventId: string) {
    this.eventId = eventId
  }

  /** Current channel status, including progress. */
  get status(): ChannelStatus | null {
    return this.#channel?.status ?? null
  }

  start(): void {
    this.#endRenewals = renewals.subscribe(() => this.retry())
    this.#open(0)
  }

  stop(): void {
    this.#endRenewals()
    this.#over = true
    this.#epoch++
    clearTimeout(this.#retry)
    this.#channel?.close()
    this.#channel = null
  }

  /** Retries immediately if a retry is pending or the room gave up; does nothing during an attempt. */
  retry(): void {
    clearTimeout(this.#retry)
    if (this.line.get().error !== null) this.#open(0)
    else this.#channel?.retry()
  }

  /** Loads history until `enough` returns true, or all of it. Replaces an earlier request. */
  loadUntil(enough: () => boolean): void {
    this.#historyWanted = () => !enough()
    if (this.#historyWanted()) this.history.set({ ...this.history.get(), historyWanted: true })
    this.#loadHistory(this.#epoch)
  }

  /** Returns whether the message with this db_id would be loaded if it is in this event. */
  covers(id: number): boolean {
    return this.ranges.some(({ first, last }) => first <= id && id <= last)
  }

  /**
   * Loads a message before the newest one, and those around it.
   *
   * @returns false if it is not in this event
   * @throws ApiError
   */
  async loadAround(id: number, limit = AROUND): Promise<boolean> {
    const epoch = this.#epoch
    const around = await readAround(this.eventId, id, limit, () => epoch === this.#epoch)
    if (around === null || epoch !== this.#epoch || around.logId !== this.logId) return false
    // The stream delivers what is newer than the last message here.
    const entries = around.entries.filter((entry) => entry.id <= (this.entries.at(-1)?.id ?? 0))
    this.#insert(entries, around.range)
    return true
  }

  /** Loads messages of the gap above a loaded message. @throws ApiError */
  async loadGap(id: number): Promise<void> {
    const epoch = this.#epoch
    const edge = this.gaps.findLast((gap) => gap < id) || id
    // Retention may have deleted the message before the gap, and more.
    if (!(await this.loadAround(edge, GAP_PAGE))) await this.#loadBefore(epoch, id, GAP_PAGE)
  }

  stopLoading(): void {
    this.#historyWanted = () => false
    this.history.set({ ...this.history.get(), historyWanted: false })
  }

  async #open(attempt: number): Promise<void> {
    if (this.#over) return
    const epoch = ++this.#epoch
    this.#channel?.close()
    this.#channel = null
    this.#clear()
    this.line.set({ ...this.line.get(), channel: null, error: null })
    this.history.set({ is: 'loading', historyWanted: false, error: null })
    try {
      const page = await readHistory(this.eventId, { before: END }, FIRST_PAGE, () => epoch === this.#epoch)
      if (page === null || epoch !== this.#epoch) return
      this.#insert(page.entries, { first: getFirstDbId(page), last: Number.POSITIVE_INFINITY })
      this.history.set({ is: page.hasMore ? 'resting' : 'whole', historyWanted: this.#historyWanted(), error: null })
      if (!page.hasMore) this.total = page.entries.length
      this.logId = page.logId
      this.#follow(epoch, page.logId)
      this.#loadHistory(epoch)
    } catch (error) {
      if (epoch === this.#epoch) this.#fail(error, attempt)
    }
  }

  #fail(error: unknown, attempt: number): void {
    const { reason, waitMs } = openingError(error, attempt)
    this.line.set({ ...this.line.get(), error: { reason, retryAt: waitMs === null ? null : Date.now() + waitMs } })
    if (waitMs !== null) this.#retry = window.setTimeout(() => this.#open(attempt + 1), waitMs)
  }

  #follow(epoch: number, logId: string): void {
    this.#channel = openChannel(gatewayPath(`/api/events/${encodeURIComponent(this.eventId)}/stream`), {
      lastMessageDbId: this.entries.at(-1)?.id ?? 0,
      logId,
      onMessage: (message, text) => {
        if (epoch !== this.#epoch) return
        this.#pending.push(toEntry(message, text))
        this.#flushSoon()
      },
      onState: (_state, status) => {
        if (epoch !== this.#epoch) return
        this.line.set({ ...this.line.get(), channel: status })
        if (status.state === 'live' && this.history.get().is === 'failed') this.#loadHistory(epoch)
      },
      onReset: (reset) => {
        if (epoch !== this.#epoch) return
        this.line.set({ ...this.line.get(), reset })
        // The loaded messages are invalid, so start over with the newest page.
        this.#epoch++
        queueMicrotask(() => this.#open(0))
      },
    })
  }

  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    // A hidden tab gets no animation frames, but must keep counting, so a timer is set too.
    const timer = window.setTimeout(() => this.#flush(timer, frame), HIDDEN_MS)
    const frame = requestAnimationFrame(() => this.#flush(timer, frame))
  }

  #flush(timer: number, frame: number): void {
    clearTimeout(timer)
    cancelAnimationFrame(frame)
    this.#flushing = false
    if (this.#pending.length === 0) return
    const until = performance.now() + BURST_MS
    let takenCount = 0
    // At least one message per run, even if the time is already over on a busy machine.
    do this.#count(this.#pending[takenCount++]!)
    while (takenCount < this.#pending.length && performance.now() < until)
    const newEntries = this.#pending.splice(0, takenCount)
    this.entries = this.entries.concat(newEntries)
    if (this.total === null) this.#setTotal()
    else this.total += newEntries.length
    this.selection.append(this.entries, newEntries)
    if (this.#pending.length > 0) this.#flushSoon()
  }

  #count(entry: Entry): void {
    this.tally.add(entry)
    this.profile.add(entry.id, entry.facts)
  }

  #insert(page: readonly Entry[], range: LoadedRange): void {
    const { all, fresh } = insertEntries(this.entries, page)
    for (const entry of fresh) this.#count(entry)
    const isFirst = fresh.length > 0 && fresh.at(-1) === all[fresh.length - 1]
    this.entries = all
    this.ranges = addRange(this.ranges, range)
    this.gaps = findGaps(this.ranges)
    if (isFirst) this.selection.prepend(all, fresh.length)
    else this.selection.insert(all, fresh)
    if (this.#isWhole && this.history.get().is !== 'loading') this.#complete()
  }

  get #isWhole(): boolean {
    return this.ranges.length === 1 && this.ranges[0]!.first === 0
  }

  #complete(): void {
    this.total = this.entries.length
    this.history.set({ is: 'whole', historyWanted: false, error: null })
  }

  #clear(): void {
    this.#pending = []
    this.entries = []
    this.ranges = []
    this.gaps = []
    this.tally = new MessageCounts()
    this.profile = new EventProfile()
    this.total = null
    this.#counted = null
    this.selection.replace([])
  }

  async #loadHistory(epoch: number): Promise<void> {
    if (this.history.get().is === 'loading' || this.history.get().is === 'whole') return
    this.history.set({ is: 'loading', historyWanted: this.#historyWanted(), error: null })
    try {
      await this.#countAll(epoch)
      while (epoch === this.#epoch && !this.#isWhole && (this.entries.length < AUTO_HISTORY || this.#historyWanted()))
        if (!(await this.#loadBefore(epoch, this.ranges.at(-1)!.first, PAGE))) return
      if (epoch !== this.#epoch) return
      if (this.#isWhole) this.#complete()
      else this.history.set({ is: 'resting', historyWanted: false, error: null })
    } catch (error) {
      if (epoch === this.#epoch) this.history.set({ is: 'failed', historyWanted: false, error })
    }
  }

  /** @returns false if the database was replaced; the stream will send a reset */
  async #loadBefore(epoch: number, before: number, limit: number): Promise<boolean> {
    const page = await readHistory(this.eventId, { before }, limit, () => epoch === this.#epoch)
    if (page === null || epoch !== this.#epoch || page.logId !== this.logId) return false
    this.#insert(page.entries, { first: getFirstDbId(page), last: before })
    return true
  }

  async #countAll(epoch: number): Promise<void> {
    const last = this.entries.at(-1)
    if (this.total !== null || last === undefined) return
    const counted = await countMessages(this.eventId, last.id)
    if (epoch !== this.#epoch) return
    this.#counted = counted
    this.#setTotal()
  }

  #setTotal(): void {
    if (this.#counted === null) return
    const { messages, last_db_id } = this.#counted
    // The stream may not have delivered all that is counted yet.
    if (this.entries.at(-1)!.id < last_db_id) return
    this.total = messages + this.entries.length - lowerBound(this, last_db_id + 1)
  }
}
