import { gatewayPath } from '../base-path.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { useSignalValue } from '../shared/signal.ts'
import { ConnectionStatus } from './connection-status.ts'
import { roomText as t } from './messages.ts'
import type { RoomModel } from './model/room.ts'
import { eventStatusName, severityName } from './role-messages.ts'

interface RoomHeadProps {
  readonly room: RoomModel
  readonly search: string
  readonly filtersOpen: boolean
  readonly onSearch: (text: string) => void
  /** Selects the next or previous of the messages found. */
  readonly onHit: (by: 1 | -1) => void
  readonly onFilters: () => void
  readonly onExport: () => void
  readonly onHelp: () => void
}

const Count = ({ room }: { readonly room: RoomModel }): View => {
  useSignalValue(room.changed)
  useSignalValue(room.history)
  const { total, entries } = room
  const loaded = entries.length > 0 && t('messagesLoaded', { n: entries.length })
  return html`<span class="count number faint" id="count">${total === null ? loaded : t('messages', { n: total })}</span>`
}

/** The event: its name first, if messages contain it, then its id, severity and status. */
const Title = ({ room }: { readonly room: RoomModel }): View => {
  useSignalValue(room.changed)
  const { name, severity, status } = room.profile
  const id = escapeLine(room.eventId)
  return html`
    <h1 id="title" dir="auto" title=${name === '' ? id : `${escapeLine(name)}\n${id}`}>${escapeLine(name) || id}</h1>
    ${name !== '' && html`<bdi class="event-id mono" id="event-id" title=${id}>${id}</bdi>`}
    ${severity !== '' && html`<span class="kind" id="severity">${severityName(severity)}</span>`}
    ${status !== '' && html`<span class="status" id="event-status">${eventStatusName(status)}</span>`}
  `
}

/** Header of the room: event, connection status, search and tools. */
export const RoomHead = (props: RoomHeadProps): View => {
  const { room, search, filtersOpen, onSearch, onHit, onFilters, onExport, onHelp } = props
  return html`
    <div class="room-head">
      <a class="back" href=${gatewayPath('/')} aria-label=${t('allEvents')} title=${t('allEvents')}><${Icon} name="back" /></a>
      <${Title} room=${room} />
      <${Count} room=${room} />
      <${ConnectionStatus} room=${room} />
      <div class="room-tools">
        <search class="search">
          <${Icon} name="search" />
          <input
            id="search"
            type="search"
            aria-label=${t('search')}
            placeholder=${t('searchHint')}
            autocomplete="off"
            spellcheck=${false}
            value=${search}
            onInput=${({ currentTarget }: { currentTarget: HTMLInputElement }) => onSearch(currentTarget.value)}
            onKeyDown=${(event: KeyboardEvent) => event.key === 'Enter' && !event.isComposing && onHit(event.shiftKey ? -1 : 1)}
          />
        </search>
        <button type="button" class="quiet" id="filters" aria-expanded=${filtersOpen} aria-controls="rail" onClick=${onFilters}>
          <${Icon} name="filter" /><span class="tool-name">${t('filters')}</span>
        </button>
        <button type="button" class="quiet" id="export" title=${t('exportTitle')} onClick=${onExport}>
          <${Icon} name="download" /><span class="tool-name">${t('export')}</span>
        </button>
        <button type="button" class="quiet" id="keys" title=${t('helpTitle')} onClick=${onHelp}>
          <${Icon} name="keyboard" /><span class="tool-name">${t('help')}</span>
        </button>
      </div>
    </div>
  `
}
