import type { Entry } from './model/entry.ts'
import { EMPTY_FILTER } from './model/filter.ts'
import type { RoomModel } from './model/room.ts'
import { when } from './model/when.ts'
import { lowerBound } from './timeline/rows.ts'
import type { VirtualList } from './timeline/virtual-list.ts'

/** Navigates to messages, loading history if needed. A navigation that still loads is dropped by the next one. */
export class MessageNavigator {
  readonly #room: RoomModel
  readonly #scroller: VirtualList
  readonly #select: (id: number | null) => void
  /** Number of the last navigation. */
  #turn = 0

  constructor(room: RoomModel, scroller: VirtualList, select: (id: number | null) => void) {
    this.#room = room
    this.#scroller = scroller
    this.#select = select
  }

  /** Selects the next or previous message; without a selection, the last one. */
  step(from: number | null, by: 1 | -1): void {
    const { entries } = this.#scroller.rows
    const index = from === null ? entries.length - 1 : lowerBound(this.#scroller.rows, from) + by
    const next = entries[Math.max(0, Math.min(index, entries.length - 1))]
    if (next !== undefined) this.#go(next, 'near')
  }

  /** Selects the next or previous of the messages found; after the last one, the first. */
  hit(from: number | null, by: 1 | -1): void {
    const { entries } = this.#scroller.rows
    const at = from === null ? -1 : lowerBound(this.#scroller.rows, from)
    const isHit = at >= 0 && entries[at]?.id === from
    const next = by === -1 ? (from === null ? entries.length - 1 : at - 1) : isHit ? at + 1 : Math.max(0, at)
    const entry = entries[(next + entries.length) % entries.length]
    if (entry !== undefined) this.#go(entry, 'third')
  }

  /** Runs a change of the filter, after which the selected message, or else the last visible one, is still in view. */
  keepInView(selected: number | null, change: () => void): void {
    const turn = ++this.#turn
    const { selection, changed } = this.#room
    const { entries } = this.#scroller.rows
    const id = selected !== null && this.#shows(selected) ? selected : this.#scroller.lastVisible?.id
    change()
    if (id === undefined || entries.length === 0) return
    const { filter } = selection
    const look = (): void => {
      const isShown = this.#shows(id)
      const isLatest = selection.filter === filter && turn === this.#turn
      if (isShown || !isLatest) end()
      if (isShown && isLatest) this.#reveal(id, 'third')
    }
    const end = changed.subscribe(look)
    look()
  }

  /**
   * Goes to the end, where a message of the user will arrive.
   *
   * @returns once it has, whether the filter shows it
   */
  async posted(id: number): Promise<boolean> {
    this.newest()
    await when(this.#room, () => (this.#room.entries.at(-1)?.id ?? 0) >= id)
    return this.#shows(id)
  }

  first(): void {
    this.#room.loadUntil(() => false)
    const first = this.#scroller.rows.entries[0]
    if (first !== undefined) this.#go(first, 'top')
  }

  newest(): void {
    this.#turn++
    this.#select(null)
    this.#scroller.toEnd()
  }

  /** Selects the first round after, or the last one before, the selected message. */
  byRound(from: number | null, by: 1 | -1): void {
    const at = from ?? this.#room.entries.at(-1)?.id ?? 0
    const rounds = [...this.#room.tally.rounds.values()].sort((a, b) => a.firstId - b.firstId)
    const next = by === 1 ? rounds.find(({ firstId }) => firstId > at) : rounds.findLast(({ firstId }) => firstId < at)
    if (next !== undefined) this.round(next.round)
  }

  /** Selects the first message of a round, loading history up to it. */
  async round(round: number): Promise<void> {
    const room = this.#room
    const turn = ++this.#turn
    const isLoaded = await this.#loaded(() => this.#hasRoundStart(round))
    if (!isLoaded || turn !== this.#turn) return
    const found = room.tally.rounds.get(round)
    if (found === undefined) return
    const shown = this.#scroller.rows.entries
    const entry = shown[lowerBound({ entries: shown }, found.firstId)]
    if (entry !== undefined) this.#go(entry, 'top')
  }

  /** The first message of a round is certain only once an earlier round, or the beginning of the event, is loaded. */
  #hasRoundStart(round: number): boolean {
    const { ranges, entries } = this.#room
    return ranges.some(({ first, last }, index) => {
      const part = entries.slice(lowerBound({ entries }, first), lowerBound({ entries }, last + 1))
      const hasEarlier = part.some((entry) => entry.round !== null && entry.round < round)
      // What is before the last range is loaded only around single messages.
      if (index === ranges.length - 1) return hasEarlier
      return (hasEarlier || first === 0) && part.some((entry) => entry.round === round)
    })
  }

  /**
   * Selects a message, clearing the search, or the whole filter, if it excludes it. The next change of the filter drops
   * a navigation that still loads.
   *
   * @returns false if there is no such message
   * @throws ApiError
   */
  async message(id: number): Promise<boolean> {
    const room = this.#room
    const turn = ++this.#turn
    let { filter } = room.selection
    const isLatest = (): boolean => turn === this.#turn && filter === room.selection.filter
    await this.#loaded(() => room.entries.length > 0)
    if (isLatest() && !room.covers(id)) await room.loadAround(id)
    if (!isLatest()) return true
    const found = room.entries[lowerBound({ entries: room.entries }, id)]
    if (found?.id !== id) return false
    for (const wider of [{ ...filter, text: '' }, EMPTY_FILTER]) {
      if (room.selection.matches(found)) break
      filter = wider
      room.selection.setFilter(filter)
    }
    // A scan can be under way.
    await when(room, () => this.#shows(id) || !isLatest())
    if (!isLatest()) return true
    this.#select(id)
    this.#reveal(id, 'third')
    return true
  }

  #shows(id: number): boolean {
    const { shown } = this.#room.selection
    return shown[lowerBound({ entries: shown }, id)]?.id === id
  }

  #go(entry: Entry, how: 'third' | 'near' | 'top'): void {
    this.#turn++
    this.#select(entry.id)
    this.#scroller.reveal(entry.id, how)
  }

  #reveal(id: number, how: 'third'): void {
    this.#scroller.setEntries(this.#room.selection.shown, this.#room.gaps)
    this.#scroller.reveal(id, how)
  }

  /** Resolves when `enough` holds, or when no more history can be loaded. @returns false if the user has stopped it */
  async #loaded(enough: () => boolean): Promise<boolean> {
    const room = this.#room
    const isDone = (): boolean => {
      const { is } = room.history.get()
      return is === 'whole' || (room.entries.length > 0 && (is === 'failed' || enough()))
    }
    if (!enough()) room.loadUntil(enough)
    await when(room, () => isDone() || (room.entries.length > 0 && !room.history.get().historyWanted))
    return isDone()
  }
}
