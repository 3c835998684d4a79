import type { EventSummary } from '../../../store/store.ts'
import type { EventFacts } from '../room/model/event-facts.ts'
import { eventStatusName, severityName } from '../room/role-messages.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { ago, count, fullTime, shortTime } from '../shared/format.ts'
import { html, type View } from '../shared/html.ts'
import type { ReadMarker } from '../shared/read-markers.ts'
import { roomPath } from '../shared/router.ts'
import { GENERAL_EVENT } from './general.ts'
import { eventListText as t } from './messages.ts'

/** Returns the number of unread messages of an event; null if the user has never opened it. */
export const unreadCount = (event: EventSummary, seen: ReadonlyMap<string, ReadMarker>): number | null => {
  const mark = seen.get(event.event_id)
  if (mark === undefined) return null
  // Messages deleted since then make the difference too small, but there is at least one new message.
  return event.last_db_id <= mark.id ? 0 : Math.max(1, event.messages - mark.messages)
}

/** An event with a message within this time is marked as active, in milliseconds. */
const RECENT_MS = 20_000

const Unread = ({ unread }: { readonly unread: number | null }): View => {
  if (unread === 0) return null
  if (unread === null) return html`<span class="unread fresh">${t('fresh')}</span>`
  return html`<span class="unread" title=${t('unreadCount', { n: unread })}
    ><span aria-hidden="true">${count(unread)}</span><span class="unseen">${t('unreadCount', { n: unread })}</span></span
  >`
}

interface RowProps {
  readonly event: EventSummary
  readonly profile: EventFacts | undefined
  readonly unread: number | null
  readonly now: number
}

/** The name of the event, if messages contain it, in front of its id, and its severity and status. */
const EventTitle = ({ event, profile }: Pick<RowProps, 'event' | 'profile'>): View => {
  const id = event.event_id === GENERAL_EVENT ? t('general') : escapeLine(event.event_id)
  const { name = '', severity = '', status = '' } = profile ?? {}
  if (name === '' && severity === '' && status === '') return html`${id}`
  return html`
    ${name !== '' && html`<bdi class="event-name">${escapeLine(name)}</bdi>${' '}`}
    <bdi class=${name === '' ? '' : 'event-id mono'}>${id}</bdi>
    ${severity !== '' && html`${' '}<span class="kind">${severityName(severity)}</span>`}
    ${status !== '' && html`${' '}<span class="status">${eventStatusName(status)}</span>`}
  `
}

const EventRow = ({ event, profile, unread, now }: RowProps): View => {
  const { event_id, messages, first_at, last_at } = event
  return html`
    <li class="event" data-unread=${unread !== 0} data-busy=${now - last_at < RECENT_MS}>
      <a href=${roomPath(event_id)} dir="auto"><${EventTitle} event=${event} profile=${profile} /></a>
      <${Unread} unread=${unread} />
      <span class="count number">${count(messages)} <span class="count-word">${t('countWord', { n: messages })}</span></span>
      <time class="first number" datetime=${new Date(first_at).toISOString()} title=${fullTime(first_at)}>
        <span class="unseen">${t('first')} </span>${shortTime(first_at)}
      </time>
      <time class="last number" datetime=${new Date(last_at).toISOString()} title=${fullTime(last_at)}>
        <span class="dot" aria-hidden="true"></span>${ago(last_at, now)}
      </time>
    </li>
  `
}

interface TableProps {
  readonly events: readonly EventSummary[]
  readonly profiles: ReadonlyMap<string, EventFacts>
  readonly seen: ReadonlyMap<string, ReadMarker>
  readonly now: number
}

/** Column headings, hidden from screen readers, since each row has its own labels. */
const Heads = (): View => html`
  <div class="event-heads" aria-hidden="true">
    <span class="head">${t('event')}</span>
    <span class="count">${t('messages')}</span>
    <span class="first">${t('first')}</span>
    <span class="last">${t('last')}</span>
  </div>
`

/** The list of events, one per row. */
export const Table = ({ events, profiles, seen, now }: TableProps): View => html`
  <div class="events-list">
    <${Heads} />
    <ul id="events" aria-label=${t('events')}>
      ${events.map(
        (event) =>
          html`<${EventRow}
            key=${event.event_id}
            event=${event}
            profile=${profiles.get(event.event_id)}
            unread=${unreadCount(event, seen)}
            now=${now}
          />`,
      )}
    </ul>
  </div>
`
