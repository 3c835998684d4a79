import { errorText } from '../shared/api.ts'
import { html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { useSignalValue } from '../shared/signal.ts'
import { roomText as t } from './messages.ts'
import { isEverything } from './model/filter.ts'
import type { RoomModel } from './model/room.ts'
import { lowerBound } from './timeline/rows.ts'
import { MAX_WHOLE } from './timeline/virtual-list.ts'

interface HitsProps {
  readonly room: RoomModel
  /** The message to which shortcuts apply. */
  readonly selected: number | null
  /** Selects the next or previous of the messages found. */
  readonly onHit: (by: 1 | -1) => void
}

/** The place of the selected message among those found, and steps to the others. */
const Hits = ({ room, selected, onHit }: HitsProps): View => {
  const { shown } = room.selection
  const at = selected === null ? -1 : lowerBound({ entries: shown }, selected)
  const step = (by: 1 | -1, icon: string, label: string): View =>
    html`<button type="button" class="small quiet" id=${by === 1 ? 'hit-next' : 'hit-previous'} aria-label=${label} title=${label} onClick=${() => onHit(by)}>
      <${Icon} name=${icon} />
    </button>`
  return html`
    <span class="hits">
      ${step(-1, 'up', t('previousHit'))}${step(1, 'down', t('nextHit'))}
      ${shown[at]?.id === selected && html`<span class="number" id="hit">${t('hit', { n: at + 1, m: shown.length })}</span>`}
    </span>
  `
}

interface HistoryStatusProps extends HitsProps {
  /** Goes to the search of the page. */
  readonly onSearch: () => void
}

/** Shows how much history is loaded and how many messages match, and loads more. */
export const HistoryStatus = ({ room, selected, onHit, onSearch }: HistoryStatusProps): View => {
  useSignalValue(room.changed)
  const { is, historyWanted, error } = useSignalValue(room.history)
  const { selection, entries, total } = room
  const filtered = !isEverything(selection.filter)
  const isWindow = selection.shown.length > MAX_WHOLE
  if (entries.length === 0 || (is === 'whole' && !filtered && !isWindow)) return null
  const scanning = filtered && selection.seen < entries.length
  return html`
    <div class="history" id="history" data-is=${is}>
      ${filtered && html`<span class="found" id="found">${foundText(room, scanning)}</span>`}
      ${selection.filter.text !== '' && selection.shown.length > 0 && html`<${Hits} room=${room} selected=${selected} onHit=${onHit} />`}
      ${
        is !== 'whole' &&
        html`
          <span class="number">
            ${total === null ? t('historyPart', { n: entries.length }) : t('historyOf', { n: entries.length, m: total })}
          </span>
          ${is === 'loading' && total !== null && html`<progress max=${total} value=${entries.length} aria-label=${t('timeline')}></progress>`}
          ${filtered && is !== 'loading' && html`<span class="honest">${t('historyHonest')}</span>`}
          ${is === 'failed' && html`<span class="problem">${t('historyFailed', { why: errorText(error) })}</span>`}
          ${
            historyWanted
              ? html`<button type="button" class="small" onClick=${() => room.stopLoading()}>${t('stopLoading')}</button>`
              : is !== 'loading' &&
                html`<button type="button" class="small" id="load-all" onClick=${() => room.loadUntil(() => false)}>
                  ${t(is === 'failed' ? 'retry' : 'loadAll')}
                </button>`
          }
        `
      }
      ${
        isWindow &&
        html`<span class="windowed" id="windowed">${t('windowed', { n: MAX_WHOLE })}</span>
          <button type="button" class="small quiet" onClick=${onSearch}>${t('searchHint')}</button>`
      }
    </div>
  `
}

const foundText = ({ selection, entries }: RoomModel, scanning: boolean): string =>
  scanning
    ? t('searching', { n: selection.seen, m: entries.length })
    : t('found', { n: selection.shown.length, m: entries.length })
