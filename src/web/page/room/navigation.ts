import type { Entry } from './model/entry.ts'
import { EMPTY_FILTER, isEverything } from './model/filter.ts'
import type { RoomModel } from './model/room.ts'
import { lowerBound } from './timeline/rows.ts'
import type { VirtualList } from './timeline/virtual-list.ts'

/** Navigates to messages, loading history if needed. */
export class MessageNavigator {
  readonly #room: RoomModel
  readonly #scroller: VirtualList
  readonly #select: (id: number | null) => void

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

  first(): void {
    this.#room.loadUntil(() => false)
    const first = this.#scroller.rows.entries[0]
    if (first !== undefined) this.#go(first, 'top')
  }

  newest(): void {
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
    // The first message of the round is certain only once an earlier round, or the beginning, is loaded.
    const hasEarlierRound = (): boolean => [...room.tally.rounds.keys()].some((known) => known < round)
    await this.#loaded(hasEarlierRound)
    const found = room.tally.rounds.get(round)
    if (found === undefined) return
    const shown = this.#scroller.rows.entries
    const entry = shown[lowerBound({ entries: shown }, found.firstId)]
    if (entry !== undefined) this.#go(entry, 'top')
  }

  /** Selects a message, clearing the filter if it excludes it. @returns false if there is no such message */
  async message(id: number): Promise<boolean> {
    const room = this.#room
    await this.#loaded(() => (room.entries[0]?.id ?? Number.POSITIVE_INFINITY) <= id)
    const found = room.entries[lowerBound({ entries: room.entries }, id)]
    if (found?.id !== id) return false
    const passes = (): boolean => room.selection.shown[lowerBound({ entries: room.selection.shown }, id)]?.id === id
    if (!isEverything(room.selection.filter) && !passes()) room.selection.setFilter(EMPTY_FILTER)
    this.#scroller.setEntries(room.selection.shown)
    this.#go(found, 'third')
    return true
  }

  #go(entry: Entry, how: 'third' | 'near' | 'top'): void {
    this.#select(entry.id)
    this.#scroller.reveal(entry.id, how)
  }

  /** Resolves when `enough` holds, or when no more history can be loaded. */
  #loaded(enough: () => boolean): Promise<void> {
    const room = this.#room
    return new Promise((resolve) => {
      const look = (): void => {
        const { is } = room.history.get()
        if (room.entries.length === 0 ? is !== 'whole' : !enough() && is !== 'whole' && is !== 'failed') return
        end()
        ended()
        resolve()
      }
      const end = room.changed.subscribe(look)
      const ended = room.history.subscribe(look)
      if (!enough()) room.loadUntil(enough)
      look()
    })
  }
}
