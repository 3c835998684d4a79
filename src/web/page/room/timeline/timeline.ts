import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { shortDay } from '../../shared/format.ts'
import { html, type View } from '../../shared/html.ts'
import { language } from '../../shared/i18n.ts'
import { Icon } from '../../shared/icons.ts'
import { useSignalValue } from '../../shared/signal.ts'
import { roomText as t } from '../messages.ts'
import type { Entry } from '../model/entry.ts'
import { excerptAround } from '../model/filter.ts'
import type { RoomModel } from '../model/room.ts'
import { useHighlight } from './highlight.ts'
import { MessageRow, type RowAct } from './row.ts'
import { dividersAbove, GAP, NEW_DAY, NEW_ROUND } from './rows.ts'
import type { VirtualList } from './virtual-list.ts'

interface TimelineProps {
  readonly room: RoomModel
  readonly scroller: VirtualList
  /** The message to which shortcuts apply. */
  readonly selected: number | null
  /** Messages whose full JSON is shown. */
  readonly unfolded: ReadonlySet<number>
  readonly onAct: (act: RowAct, entry: Entry) => void
  readonly onSelect: (id: number) => void
  /** Loads messages that are missing above this one. */
  readonly onGap: (entry: Entry) => void
}

type AboveProps = Pick<TimelineProps, 'onGap'> & { readonly bits: number; readonly entry: Entry }

const Above = ({ bits, entry, onGap }: AboveProps): View => html`
  ${
    bits & GAP
      ? html`<div class="divider gap">
          <span>${t('gap')}</span>
          <button type="button" class="small" onClick=${() => onGap(entry)}>${t('loadGap')}</button>
        </div>`
      : null
  }
  ${bits & NEW_DAY ? html`<div class="divider day"><span>${shortDay(entry.at)}</span></div>` : null}
  ${bits & NEW_ROUND ? html`<div class="divider round"><span>${t('round', { n: entry.round ?? 0 })}</span></div>` : null}
`

/** Returns a ref that calls `measure` whenever the size of a row changes. */
const useMeasuring = (measure: () => void): ((row: HTMLElement | null) => void) => {
  const now = useRef(measure)
  now.current = measure
  const watch = useMemo(() => new ResizeObserver(() => now.current()), [])
  useEffect(() => () => watch.disconnect(), [watch])
  return useCallback((row: HTMLElement | null) => void (row && watch.observe(row)), [watch])
}

/** Frames in which rows that come on the screen get their real heights. */
const SETTLING_FRAMES = 4

/** Keeps what the keyboard has reached inside the box: rows above it move it out when they get their real heights. */
const keepFocusVisible = ({
  target,
  currentTarget: box,
}: {
  target: EventTarget | null
  currentTarget: HTMLElement
}): void => {
  let frames = 0
  const look = (): void => {
    if (target !== document.activeElement || !(target instanceof HTMLElement) || target === box) return
    // A click on a row that is partly visible must not move it.
    if (!target.matches(':focus-visible')) return
    const [inner, outer] = [target.getBoundingClientRect(), box.getBoundingClientRect()]
    const isTall = inner.height > outer.height
    if (!isTall && (inner.top < outer.top || inner.bottom > outer.bottom)) target.scrollIntoView({ block: 'nearest' })
    frames += 1
    if (frames < SETTLING_FRAMES) requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}

/** The messages of a room; of more than MAX_WHOLE, only visible rows are rendered. */
export const Timeline = (props: TimelineProps): View => {
  const { room, scroller, selected, unfolded, onAct, onSelect, onGap } = props
  useSignalValue(room.changed)
  useSignalValue(scroller.moved)
  const history = useSignalValue(room.history)
  const box = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const [, redraw] = useState(0)
  const { shown, filter } = room.selection
  const shownLanguage = language.get()
  const lastLanguage = useRef(shownLanguage)
  if (lastLanguage.current !== shownLanguage) scroller.restart()
  lastLanguage.current = shownLanguage
  if (scroller.rows.entries !== shown || scroller.rows.gaps !== room.gaps) scroller.setEntries(shown, room.gaps)
  const { start, end, top, total } = scroller.span()

  const measure = (): void => {
    // The observer also fires after the room was left, when its rows are removed.
    if (list.current === null) return
    const rows = [...list.current.children].map((row) => ({
      index: Number((row as HTMLElement).dataset.index),
      height: row.getBoundingClientRect().height,
    }))
    if (scroller.measure(rows)) redraw((n) => n + 1)
  }
  const watch = useMeasuring(measure)

  useLayoutEffect(() => {
    scroller.attach(box.current)
    const resized = new ResizeObserver(() => redraw((n) => n + 1))
    resized.observe(box.current!)
    return () => resized.disconnect()
  }, [scroller])
  useLayoutEffect(() => {
    measure()
    scroller.place()
  })
  const hiddenHits = useHighlight(() => list.current, filter.text)

  const whole = history.is === 'whole'
  const rows = shown.slice(start, end).map((entry, place) => {
    const index = start + place
    const mine = entry.id === selected
    return html`
      <article
        key=${entry.id}
        ref=${watch}
        class="row"
        data-id=${entry.id}
        data-index=${index}
        data-role=${entry.role}
        data-tone=${entry.tone}
        data-selected=${mine}
        aria-labelledby=${`m${entry.id}`}
        aria-posinset=${whole ? index + 1 : null}
        aria-setsize=${whole ? shown.length : -1}
        tabindex=${mine ? 0 : -1}
        onFocus=${() => onSelect(entry.id)}
      >
        <${Above} bits=${dividersAbove(scroller.rows, index)} entry=${entry} onGap=${onGap} />
        <div class="line-up">
          <${MessageRow}
            entry=${entry}
            jsonShown=${unfolded.has(entry.id)}
            excerpt=${hiddenHits.has(entry.id) ? excerptAround(entry.raw, filter.text) : ''}
            language=${shownLanguage}
            onAct=${onAct}
          />
        </div>
      </article>
    `
  })
  // This heading is the parent of the headings in messages, also if the sidebar with its headings is hidden.
  return html`
    <h2 class="unseen">${t('timeline')}</h2>
    <div
      class="box"
      id="box"
      ref=${box}
      role=${rows.length === 0 ? 'group' : 'feed'}
      aria-label=${t('timeline')}
      aria-busy=${history.is === 'loading'}
      tabindex="0"
      onScroll=${() => scroller.scrolled()}
      onFocusIn=${keepFocusVisible}
    >
      <div class="height" role="none" style=${{ height: `${total}px` }}>
        <div class="rows" role="none" ref=${list} data-whole=${!scroller.isWindow} style=${{ transform: `translateY(${top}px)` }}>${rows}</div>
      </div>
    </div>
  `
}

/** Button to return to the end after scrolling up, with the number of new messages. */
export const JumpToLatest = ({
  unseen,
  onClick,
}: {
  readonly unseen: number
  readonly onClick: () => void
}): View => html`
  <button type="button" class="to-end" id="to-end" onClick=${onClick}>
    ${unseen > 0 ? t('newMessages', { n: unseen }) : t('toEnd')} <${Icon} name="down" />
  </button>
`
