import { errorText } from '../shared/api.ts'
import { html, type View } from '../shared/html.ts'
import { useSignalValue } from '../shared/signal.ts'
import { roomText as t } from './messages.ts'
import { isEverything } from './model/filter.ts'
import type { RoomModel } from './model/room.ts'

/** Shows how much history is loaded and how many messages match, and loads more. */
export const HistoryStatus = ({ room }: { readonly room: RoomModel }): View => {
  useSignalValue(room.changed)
  const { is, historyWanted, error } = useSignalValue(room.history)
  const { selection, entries, total } = room
  const filtered = !isEverything(selection.filter)
  if (entries.length === 0 || (is === 'whole' && !filtered)) return null
  const scanning = filtered && selection.seen < entries.length
  return html`
    <div class="history" id="history" data-is=${is}>
      ${filtered && html`<span class="found" id="found">${foundText(room, scanning)}</span>`}
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
    </div>
  `
}

const foundText = ({ selection, entries }: RoomModel, scanning: boolean): string =>
  scanning
    ? t('searching', { n: selection.seen, m: entries.length })
    : t('found', { n: selection.shown.length, m: entries.length })
