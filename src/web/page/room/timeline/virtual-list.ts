import { signal } from '../../shared/signal.ts'
import type { Entry } from '../model/entry.ts'
import { appendRows, createRows, lowerBound, type Rows } from './rows.ts'

/** Margin above and below the viewport that is rendered too. */
const MARGIN_PX = 600
/** Distance from the end that counts as being at the end. */
const NEAR_PX = 40

/** Up to this many rows are all in the document, so that the browser can search, select, copy and print them. */
export const MAX_WHOLE = 500
/** Rows beyond those on the screen are added a few at a time on each side: 16 at once took 54 ms. */
const ADDED_ROWS = 4
/** Rows that are rendered first when none can be kept. */
const FIRST_ROWS = 4
const ADD_REST_MS = 16
/** The same after a jump, which another one can follow. */
const LEAP_REST_MS = 80

/** A row that keeps its position on the screen: its db_id, and the distance of its top from the top of the box. */
interface Anchor {
  readonly id: number
  readonly below: number
}

/** Indexes of rows, `end` exclusive. */
type RowRange = readonly [start: number, end: number]

/** The rows to render, from `start` to `end` (exclusive), and the offset of the first. */
interface VisibleRange {
  readonly start: number
  readonly end: number
  readonly top: number
  readonly total: number
}

/**
 * Decides which rows are rendered, and where. If rows, heights or the box itself change, the visible rows keep their position;
 * at the end of the list, the end stays visible.
 */
export class VirtualList {
  rows: Rows = createRows([], 0)
  /** The newest message is visible. */
  atEnd = true
  #box: HTMLElement | null = null
  #anchor: Anchor | null = null
  #lastTop = 0
  /** Distance of the box from the top of the window; null before it was shown. */
  #boxTop: number | null = null
  /** The last rendered range. */
  #drawn: VisibleRange | null = null
  /** The first and last db_id of it. */
  #drawnIds: readonly [first: number, last: number] | null = null
  /** Rows that are to be added on both sides by the next rendering. */
  #adding = 0
  #addTimer = 0
  #hasLeapt = false
  /** Not all rows on the screen have been rendered yet. */
  #isFilling = false
  /** Increments when the list must be rendered again. */
  readonly moved = signal(0)

  attach(box: HTMLElement | null): void {
    this.#box = box
  }

  setEntries(entries: readonly Entry[], gaps: readonly number[]): void {
    this.#adoptPending()
    // Appending avoids a rebuild of all rows for each new message.
    if (gaps === this.rows.gaps && appendRows(this.rows, entries)) return
    this.rows = createRows(entries, new Date().getTimezoneOffset() * 60_000, gaps)
  }

  /** The rows are too many to be all in the document. */
  get isWindow(): boolean {
    return this.rows.entries.length > MAX_WHOLE
  }

  /** The last row that is at least partly visible. */
  get lastVisible(): Entry | undefined {
    if (this.#box === null) return undefined
    const { scrollTop, clientHeight } = this.#box
    return this.rows.entries[this.rows.heights.at(scrollTop + clientHeight - 1)]
  }

  /** Returns the range that the caller must render now. */
  span(): VisibleRange {
    this.#adoptPending()
    this.#drawn = this.#spanNow()
    const { start, end } = this.#drawn
    const { entries } = this.rows
    this.#drawnIds = end > start ? [entries[start]!.id, entries[end - 1]!.id] : null
    return this.#drawn
  }

  /** Renders only the rows on the screen next, because all rows change, and adds the others again. */
  restart(): void {
    this.#drawnIds = null
  }

  /** Rows that are in the document stay there, with some more on both sides, if they are wanted. */
  #extend(screen: RowRange): RowRange {
    const kept = this.#kept(screen)
    if (kept === null) {
      // A jump fills the screen at once, since another one can follow before the rest is there.
      this.#isFilling = !this.#hasLeapt
      return this.#isFilling ? this.#nearest(screen) : screen
    }
    const [from, to] = this.#wanted()
    const [start, end] = this.#isFilling ? kept : screen
    return [
      Math.max(from, Math.min(start, kept[0] - this.#adding)),
      Math.min(to, Math.max(end, kept[1] + this.#adding)),
    ]
  }

  /** The rows that are in the document and can stay there. */
  #kept([start, end]: RowRange): RowRange | null {
    if (this.#drawn === null || this.#drawnIds === null) return null
    const [first, last] = this.#drawnIds
    const drawn = [lowerBound(this.rows, first), lowerBound(this.rows, last + 1)] as const
    // After a jump, or with another filter, adding all rows in between would take too long.
    const isNear = start <= drawn[1] && end >= drawn[0]
    return isNear && drawn[1] - drawn[0] === this.#drawn.end - this.#drawn.start ? drawn : null
  }

  /** The first rows to render of those on the screen: the last ones at the end, otherwise those at the anchor. */
  #nearest([start, end]: RowRange): RowRange {
    if (this.atEnd) return [Math.max(start, end - FIRST_ROWS), end]
    const index = this.#anchor === null ? start : Math.max(start, lowerBound(this.rows, this.#anchor.id) - 1)
    const first = Math.max(start, Math.min(index, end - FIRST_ROWS))
    return [first, Math.min(end, first + FIRST_ROWS)]
  }

  /** The rows that are to be in the document once all have been added. */
  #wanted(): RowRange {
    return this.isWindow ? this.#around(MARGIN_PX) : [0, this.rows.entries.length]
  }

  /** The rows on the screen, and those within a margin. */
  #around(margin: number): RowRange {
    const { heights } = this.rows
    const view = this.#view
    const top = this.#wantedTop(view)
    const start = heights.at(Math.max(0, top - margin))
    return [start, Math.min(heights.length, heights.at(top + view + margin) + 1)]
  }

  get #view(): number {
    return this.#box?.clientHeight || 800
  }

  #addSoon(): void {
    const [from, to] = this.#wanted()
    const { start = 0, end = 0 } = this.#drawn ?? {}
    clearTimeout(this.#addTimer)
    const add = (): void => {
      this.#hasLeapt = false
      this.#adding = ADDED_ROWS
      this.#redraw()
    }
    const [top, bottom] = this.#around(0)
    if (start <= top && end >= bottom) this.#isFilling = false
    const isDone = start <= from && end >= to
    if (isDone) this.#hasLeapt = false
    else this.#addTimer = window.setTimeout(add, this.#hasLeapt ? LEAP_REST_MS : ADD_REST_MS)
  }

  #spanNow(): VisibleRange {
    const { heights } = this.rows
    const [start, end] = this.#extend(this.#around(0))
    return { start, end, top: heights.offset(start), total: heights.total }
  }

  /** Sets the scroll position after the range of span() has been rendered. */
  place(): void {
    const box = this.#box
    // Without rows there is nothing to place, and reading the layout of a page that has just been rendered takes long.
    if (box === null || (this.rows.entries.length === 0 && this.#lastTop === 0)) return
    this.#followBox(box)
    this.#adding = 0
    this.#addSoon()
    const top = this.#wantedTop(box.clientHeight)
    if (Math.abs(box.scrollTop - top) >= 1) box.scrollTop = top
    this.#lastTop = box.scrollTop
  }

  /** Keeps the rows where they are on the screen when something above the box appears or goes. */
  #followBox(box: HTMLElement): void {
    if (box.clientHeight === 0) return
    const { top } = box.getBoundingClientRect()
    const moved = top - (this.#boxTop ?? top)
    this.#boxTop = top
    if (moved === 0 || this.#anchor === null || box.scrollTop === 0) return
    this.#anchor = { id: this.#anchor.id, below: this.#anchor.below - moved }
  }

  /** @returns whether the height of any row has changed */
  measure(rows: Iterable<{ readonly index: number; readonly height: number }>): boolean {
    let changed = false
    for (const { index, height } of rows) {
      const entry = this.rows.entries[index]
      if (entry === undefined || height === 0) continue
      entry.height = height
      if (Math.abs(this.rows.heights.of(index) - height) < 0.5) continue
      this.rows.heights.set(index, height)
      changed = true
    }
    return changed
  }

  /** Handles a scroll event, by the user or by place(). */
  scrolled(): void {
    if (this.#box === null) return
    const wasAtEnd = this.atEnd
    this.#adopt()
    if (!this.#hasLeapt) this.#adding = ADDED_ROWS
    const { start, end, top } = this.#spanNow()
    const { start: from, end: to, top: at } = this.#drawn ?? {}
    if (start !== from || end !== to || top !== at || this.atEnd !== wasAtEnd) this.#redraw()
  }

  /** A position whose scroll event is still to come must not be reset by a rendering in between. */
  #adoptPending(): void {
    // Without a height, the box is not shown and has no position.
    if (this.#box === null || this.#box.clientHeight === 0) return
    if (Math.abs(this.#box.scrollTop - this.#lastTop) >= 1) this.#adopt()
  }

  /** Drops a position whose scroll event is still to come. */
  #dropPending(): void {
    if (this.#box !== null) this.#lastTop = this.#box.scrollTop
  }

  #adopt(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#box!
    const near = scrollHeight - scrollTop - clientHeight < NEAR_PX
    // Rows appended between two frames also move the end away; only scrolling up leaves the end.
    this.atEnd = near || (this.atEnd && scrollTop >= this.#lastTop)
    this.#hasLeapt ||= Math.abs(scrollTop - this.#lastTop) > clientHeight / 2
    this.#lastTop = scrollTop
    this.#anchor = this.#anchorAt(scrollTop)
  }

  #redraw(): void {
    this.moved.set(this.moved.get() + 1)
  }

  /** Scrolls a message to the top, to one third from the top, or only as far as needed. */
  reveal(id: number, how: 'third' | 'near' | 'top'): void {
    const index = lowerBound(this.rows, id)
    const { heights, entries } = this.rows
    const box = this.#box
    if (entries[index]?.id !== id || box === null) return
    const offset = heights.offset(index)
    this.#dropPending()
    const view = box.clientHeight
    const [above, under] = [offset < box.scrollTop, offset + heights.of(index) > box.scrollTop + view]
    this.atEnd = false
    if (how === 'near' && !above && !under) this.#anchor = this.#anchorAt(box.scrollTop)
    else if (how === 'near') this.#anchor = { id, below: above ? 8 : Math.max(8, view - heights.of(index) - 8) }
    else this.#anchor = { id, below: how === 'third' ? view / 3 : 0 }
    this.#redraw()
  }

  toEnd(): void {
    this.#dropPending()
    this.atEnd = true
    this.#redraw()
  }

  #anchorAt(scrollTop: number): Anchor | null {
    const { heights, entries } = this.rows
    const index = heights.at(scrollTop)
    const entry = entries[index]
    return entry === undefined ? null : { id: entry.id, below: heights.offset(index) - scrollTop }
  }

  #wantedTop(view: number): number {
    const { heights, entries } = this.rows
    const maxTop = Math.max(0, heights.total - view)
    if (this.atEnd || this.#anchor === null) return this.atEnd ? maxTop : 0
    const { id, below } = this.#anchor
    const index = Math.min(lowerBound(this.rows, id), entries.length - 1)
    return Math.min(maxTop, Math.max(0, heights.offset(index) - below))
  }
}
