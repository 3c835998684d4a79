import { useEffect, useMemo, useState } from 'preact/hooks'
import type { EventSummary } from '../../../store/store.ts'
import { useCaller } from '../caller.ts'
import { DisconnectedBanner } from '../room/connection-status.ts'
import type { EventFacts } from '../room/model/event-facts.ts'
import { EMPTY_FILTER } from '../room/model/filter.ts'
import { MessageHits } from '../search/hits.ts'
import { errorText } from '../shared/api.ts'
import { connectionText, reasonCodeText } from '../shared/connection-messages.ts'
import { html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { loadReadMarkers, onReadMarkersChange, saveReadMarker } from '../shared/read-markers.ts'
import { navigate, roomPath } from '../shared/router.ts'
import { useLifecycle, useSignalValue } from '../shared/signal.ts'
import { EventListStore } from './events.ts'
import { GENERAL_EVENT, GeneralLink } from './general.ts'
import { eventListText as t } from './messages.ts'
import { Table, unreadCount } from './table.ts'

/** Interval at which relative times are updated, in milliseconds. */
const CLOCK_MS = 5_000

/** Increments whenever relative times or unread markers must be re-rendered. */
const useTicks = (): [number, () => void] => {
  const [beat, setBeat] = useState(0)
  const next = (): void => setBeat((n) => n + 1)
  useEffect(() => {
    const timer = setInterval(next, CLOCK_MS)
    const end = onReadMarkersChange(next)
    return () => {
      clearInterval(timer)
      end()
    }
  }, [])
  return [beat, next]
}

/** Delay of a change of the address, in milliseconds: browsers limit how many there can be while a search is typed. */
const WRITE_MS = 250

/** The search of the list, which is also in the address of the page, for the way back from a message. */
const useSearchText = (): [string, (text: string) => void] => {
  const [text, setText] = useState(() => new URLSearchParams(location.search).get('q') ?? '')
  useEffect(() => {
    const timer = setTimeout(() => {
      const query = text === '' ? '' : `?${new URLSearchParams({ q: text })}`
      if (query !== location.search) history.replaceState(history.state, '', location.pathname + query)
    }, WRITE_MS)
    return () => clearTimeout(timer)
  }, [text])
  return [text, setText]
}

const LiveIndicator = ({ events }: { readonly events: EventListStore }): View => {
  const { channel } = useSignalValue(events.line)
  const state = channel?.state ?? 'connecting'
  const why = channel?.reason ? reasonCodeText(channel.reason.code) : ''
  const said = connectionText(state)
  return html`
    <p class="live-mark" id="state" data-state=${state} role="status">
      <span class="dot" aria-hidden="true"></span>${why === '' ? said : connectionText('because', { state: said, why })}
    </p>
  `
}

const Nothing = ({ loaded, is }: { readonly loaded: number; readonly is: string }): View => {
  if (is === 'loading') return html`<p class="empty-list">${t('loading')}</p>`
  if (is === 'failed') return null
  if (loaded > 0) return html`<p class="empty-list slim" id="empty">${t('nothing', { n: loaded })}</p>`
  return html`<div class="empty-list" id="empty"><p>${t('empty')}</p><p class="faint">${t('emptyHow')}</p></div>`
}

const matching = (
  events: readonly EventSummary[],
  profiles: ReadonlyMap<string, EventFacts>,
  text: string,
): readonly EventSummary[] => {
  const wanted = text.trim().toLowerCase()
  if (wanted === '') return events
  const isIn = (part: string | undefined): boolean => part?.toLowerCase().includes(wanted) ?? false
  return events.filter(({ event_id }) => isIn(event_id) || isIn(profiles.get(event_id)?.name))
}

/** All events that the user can read, latest activity first. */
export const EventsPage = (): View => {
  const source = useLifecycle(() => new EventListStore())
  const { is, error, events, hasMore, logId, profiles } = useSignalValue(source.list)
  const readable = useCaller()?.events ?? []
  const [text, setText] = useSearchText()
  const [onlyUnread, setOnlyUnread] = useState(false)
  const [beat, next] = useTicks()
  const seen = useMemo(() => loadReadMarkers(logId), [logId, beat])
  useEffect(() => {
    document.title = `${t('events')} – deepsoc-gateway`
  })

  const found = matching(events, profiles, text)
  const shown = onlyUnread ? found.filter((event) => unreadCount(event, seen) !== 0) : found
  const unread = events.reduce((sum, event) => sum + (unreadCount(event, seen) ?? event.messages), 0)
  const wanted = text.trim()
  const isThere = events.some(({ event_id }) => event_id === wanted)
  const offersGeneral =
    (readable === '*' || readable.includes(GENERAL_EVENT)) && !events.some(({ event_id }) => event_id === GENERAL_EVENT)
  const open = (event: Event): void => {
    event.preventDefault()
    if (wanted !== '') navigate(roomPath(shown.length === 1 ? shown[0]!.event_id : wanted))
  }
  const markAll = (): void => {
    // The newest last, since the first markers are dropped.
    for (const { event_id, last_db_id, messages } of events.toReversed())
      saveReadMarker(logId, event_id, { id: last_db_id, messages })
    next()
  }
  return html`
    <main class="narrow events" id="main" tabindex="-1">
      <div class="events-head">
        <h1>${t('events')}</h1>
        <p class="faint number" id="summary">
          ${is === 'loaded' && t(hasMore ? 'introPart' : 'intro', { n: events.length, m: unread })}
        </p>
        <${LiveIndicator} events=${source} />
      </div>
      <${DisconnectedBanner} source=${source} />
      <form class="events-tools" onSubmit=${open}>
        <div class="search">
          <${Icon} name="search" />
          <input
            id="search"
            type="search"
            aria-label=${t('search')}
            placeholder=${t('search')}
            maxlength="255"
            autocomplete="off"
            spellcheck=${false}
            value=${text}
            onInput=${({ currentTarget }: { currentTarget: HTMLInputElement }) => setText(currentTarget.value)}
          />
        </div>
        ${
          wanted !== '' &&
          !isThere &&
          shown.length !== 1 &&
          html`<button type="submit" id="open">${t('openThis', { id: wanted.length > 30 ? `${wanted.slice(0, 30)}…` : wanted })}</button>`
        }
        ${offersGeneral && html`<${GeneralLink} />`}
        <label class="check">
          <input id="only-unread" type="checkbox" checked=${onlyUnread} onChange=${() => setOnlyUnread(!onlyUnread)} />
          ${t('onlyUnread')}
        </label>
        <button type="button" class="quiet" id="mark-all" disabled=${unread === 0} onClick=${markAll}>${t('markAll')}</button>
      </form>
      ${
        error !== null &&
        html`<p class="problem" id="problem" role="alert">
          ${t('problem', { why: errorText(error) })}${' '}
          <button type="button" class="small" onClick=${() => source.reload()}>${t('retry')}</button>
        </p>`
      }
      ${shown.length > 0 ? html`<${Table} events=${shown} profiles=${profiles} seen=${seen} now=${Date.now()} />` : html`<${Nothing} loaded=${events.length} is=${is} />`}
      ${
        hasMore &&
        html`<p class="more-events">
          ${wanted !== '' && html`<span class="faint">${t('honest')}</span>`}
          <button type="button" id="more" onClick=${() => source.more()}>${t('more')}</button>
        </p>`
      }
      <${MessageHits} query=${wanted} eventId=${null} filter=${EMPTY_FILTER} />
    </main>
  `
}
