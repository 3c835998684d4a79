import { useCallback, useEffect, useMemo, useState } from 'preact/hooks'
import { useCaller } from '../caller.ts'
import { SearchBeyond } from '../search/in-room.ts'
import { errorText } from '../shared/api.ts'
import { html, type View } from '../shared/html.ts'
import { roomPath } from '../shared/router.ts'
import { useLifecycle, useSignalValue } from '../shared/signal.ts'
import { copyText } from './clipboard.ts'
import { Composer } from './composer.ts'
import { DisconnectedBanner, isRefused, Refused, stateText } from './connection-status.ts'
import { Help } from './help.ts'
import { HistoryStatus } from './history-status.ts'
import { roomText as t } from './messages.ts'
import { canWrite } from './model/author.ts'
import type { Entry } from './model/entry.ts'
import { type MessageFilter, toggled } from './model/filter.ts'
import { filterFromQuery } from './model/filter-url.ts'
import { RoomModel } from './model/room.ts'
import { MessageNavigator } from './navigation.ts'
import { AttentionPart } from './notices/part.ts'
import { useNotices } from './notices/use-notices.ts'
import { RatePlot } from './rate-plot.ts'
import { Exports } from './report/dialog.ts'
import { RoomHead } from './room-head.ts'
import { Sidebar } from './sidebar.ts'
import type { RowAct } from './timeline/row.ts'
import { JumpToLatest, Timeline } from './timeline/timeline.ts'
import { VirtualList } from './timeline/virtual-list.ts'
import { useFilter } from './use-filter.ts'
import { useAnnouncement, useTitle, useUnreadCount } from './use-room.ts'
import { useShortcuts } from './use-shortcuts.ts'

const focusOn = (id: string): void => document.getElementById(id)?.focus()

/** A notice about the result of an action, cleared after a few seconds. */
const useNote = (): [string, (text: string) => void] => {
  const [note, setNote] = useState('')
  useEffect(() => {
    if (note === '') return
    const timer = setTimeout(() => setNote(''), 5_000)
    return () => clearTimeout(timer)
  }, [note])
  return [note, setNote]
}

/** Selects the message in the hash of the address, now and whenever it changes. */
const useHash = (moves: MessageNavigator, onFailure: (text: string) => void): void => {
  useEffect(() => {
    const go = async (): Promise<void> => {
      const id = Number(/^#(\d{1,16})$/.exec(location.hash)?.[1])
      try {
        if (id > 0 && !(await moves.message(id))) onFailure(t('notThere', { n: String(id) }))
      } catch (error) {
        onFailure(errorText(error))
      }
    }
    go()
    addEventListener('hashchange', go)
    return () => removeEventListener('hashchange', go)
  }, [moves])
}

/** Live regions for screen readers. Null instead of an empty text, which would be announced at each render. */
const Note = ({ room, note }: { readonly room: RoomModel; readonly note: string }): View => {
  const said = useAnnouncement(room)
  const line = useSignalValue(room.line)
  return html`
    <p class="unseen" role="status" id="said">${`${stateText(line)}. ${said}`}</p>
    <p class="note" role="status" id="note">${note || null}</p>
  `
}

const Empty = ({ room }: { readonly room: RoomModel }): View => {
  useSignalValue(room.changed)
  const { is } = useSignalValue(room.history)
  if (isRefused(useSignalValue(room.line))) return html`<${Refused} room=${room} />`
  if (room.selection.shown.length > 0) return null
  if (room.entries.length > 0) {
    if (room.selection.seen < room.entries.length) return null
    return html`<p class="empty" id="empty">${t('nothingFound', { n: room.entries.length })}</p>`
  }
  return html`<p class="empty" id="empty">${t(is === 'whole' ? 'empty' : 'loadingFirst')}</p>`
}

const BackToEnd = ({
  room,
  scroller,
  moves,
}: {
  room: RoomModel
  scroller: VirtualList
  moves: MessageNavigator
}): View => {
  useSignalValue(room.changed)
  useSignalValue(scroller.moved)
  const unseen = useUnreadCount(room, scroller)
  return scroller.atEnd ? null : html`<${JumpToLatest} unseen=${unseen} onClick=${() => moves.newest()} />`
}

/** The war room of one event. */
export const RoomPage = ({ eventId }: { readonly eventId: string }): View => {
  const room = useLifecycle(() => {
    const model = new RoomModel(eventId)
    model.selection.setFilter(filterFromQuery(location.search))
    return model
  })
  const caller = useCaller()
  const scroller = useMemo(() => new VirtualList(), [])
  const [selected, select] = useState<number | null>(null)
  const [unfolded, setUnfolded] = useState<ReadonlySet<number>>(new Set())
  const [filtersOpen, setFiltersOpen] = useState(false)
  const [helpOpen, setHelpOpen] = useState(false)
  const [exportOpen, setExportOpen] = useState(false)
  const [note, setNote] = useNote()
  const [filter, setFilterAtOnce] = useFilter(room)
  const moves = useMemo(() => new MessageNavigator(room, scroller, select), [room, scroller])
  const notices = useNotices(room, caller)
  useTitle(room, notices.pending > 0)
  useHash(moves, setNote)
  const refused = isRefused(useSignalValue(room.line))

  const setFilter = (next: MessageFilter): void => {
    const isCleared = filter.text !== '' && next.text === ''
    if (isCleared) moves.keepInView(selected, () => setFilterAtOnce(next))
    else setFilterAtOnce(next)
  }
  const onGap = useCallback(
    async ({ id }: Entry): Promise<void> => {
      try {
        await room.loadGap(id)
      } catch (error) {
        setNote(errorText(error))
      }
    },
    [room],
  )
  const onPosted = async (id: number): Promise<void> => {
    if (!(await moves.posted(id))) setNote(t('postedHidden'))
  }

  const act = useCallback(
    async (what: RowAct, entry: Entry): Promise<void> => {
      if (what === 'json') return setUnfolded((old) => toggled(old, entry.id))
      const link = `${location.origin}${roomPath(eventId)}#${entry.id}`
      setNote(t((await copyText(what === 'copy' ? entry.raw : link)) ? 'copied' : 'notCopied'))
    },
    [eventId],
  )
  const onSelected = (what: RowAct) => () => {
    const entry = room.entries.find(({ id }) => id === selected)
    if (entry !== undefined) act(what, entry)
  }
  const leave = (): void => {
    if (document.activeElement?.id === 'search' && filter.text !== '') setFilter({ ...filter, text: '' })
    setFiltersOpen(false)
    focusOn('box')
  }
  useShortcuts({
    j: () => moves.step(selected, 1),
    k: () => moves.step(selected, -1),
    ']': () => moves.byRound(selected, 1),
    '[': () => moves.byRound(selected, -1),
    g: () => moves.first(),
    G: () => moves.newest(),
    '/': () => focusOn('search'),
    f: () => setFiltersOpen(!filtersOpen),
    n: () => focusOn('text'),
    x: onSelected('json'),
    c: onSelected('copy'),
    l: onSelected('link'),
    '?': () => setHelpOpen(true),
    Escape: leave,
  })

  return html`
    <main class="room" id="main" tabindex="-1" data-filters=${filtersOpen ? 'open' : 'closed'}>
      <${RoomHead}
        room=${room}
        search=${filter.text}
        filtersOpen=${filtersOpen}
        onSearch=${(text: string) => setFilter({ ...filter, text })}
        onHit=${(by: 1 | -1) => moves.hit(selected, by)}
        onFilters=${() => setFiltersOpen(!filtersOpen)}
        onExport=${() => setExportOpen(true)}
        onHelp=${() => setHelpOpen(true)}
      />
      <aside class="rail" id="rail" aria-label=${t('filters')}>
        <${Sidebar}
          room=${room}
          filter=${filter}
          onFilter=${setFilter}
          onRound=${(round: number) => moves.round(round)}
          onClose=${() => setFiltersOpen(false)}
        >
          <${AttentionPart} filter=${filter} onFilter=${setFilter} notices=${notices} />
        </${Sidebar}>
      </aside>
      <div class="middle">
        <${RatePlot} room=${room} onPeriod=${(from: number, to: number) => setFilter({ ...filter, from, to })} />
        <${HistoryStatus}
          room=${room}
          selected=${selected}
          onHit=${(by: 1 | -1) => moves.hit(selected, by)}
          onSearch=${() => focusOn('search')}
        />
        <${SearchBeyond} room=${room} filter=${filter} />
        <${DisconnectedBanner} source=${room} />
        <div class="stage">
          <${Timeline}
            room=${room}
            scroller=${scroller}
            selected=${selected}
            unfolded=${unfolded}
            onAct=${act}
            onSelect=${select}
            onGap=${onGap}
          />
          <${Empty} room=${room} />
          <${BackToEnd} room=${room} scroller=${scroller} moves=${moves} />
        </div>
        ${
          caller !== null &&
          canWrite(caller) &&
          !refused &&
          html`<${Composer} eventId=${eventId} caller=${caller} onPosted=${onPosted} />`
        }
      </div>
      <${Note} room=${room} note=${note} />
      <${Exports} isOpen=${exportOpen} room=${room} onNote=${setNote} onClose=${() => setExportOpen(false)} />
      ${helpOpen && html`<${Help} onClose=${() => setHelpOpen(false)} />`}
    </main>
  `
}
