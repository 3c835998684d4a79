import { html, type View } from '../../shared/html.ts'
import type { MessageFilter } from '../model/filter.ts'
import { noticeText as t } from './messages.ts'
import type { Notices } from './use-notices.ts'

interface AttentionPartProps {
  readonly filter: MessageFilter
  readonly onFilter: (next: MessageFilter) => void
  readonly notices: Notices
}

/** Part of the sidebar: the filter for messages that need attention, and whether the user is notified of them. */
export const AttentionPart = ({ filter, onFilter, notices }: AttentionPartProps): View => {
  const { isOn, isShown, onToggle } = notices
  const choice = (id: string, on: boolean, label: string, hint: string, onClick: () => void): View => html`
    <li>
      <button type="button" class="choice" id=${id} aria-pressed=${on} title=${hint} onClick=${onClick}>
        <span class="choice-label">${label}</span>
      </button>
    </li>
  `
  return html`
    <section class="part">
      <h2>${t('title')}</h2>
      <ul>
        ${choice('attention', filter.attention, t('only'), t('which'), () =>
          onFilter({ ...filter, attention: !filter.attention }),
        )}
        ${choice('notify', isOn, t('notify'), t('notifyHow'), onToggle)}
      </ul>
      ${isOn && isShown === false && html`<p class="faint" id="notify-state">${t('titleOnly')}</p>`}
    </section>
  `
}
