import { escapeLine } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { roomText as t } from '../messages.ts'
import type { WorkItem } from '../model/parse-content.ts'
import { agentName, idName, kindName, statusName } from '../role-messages.ts'
import { Json } from './json.ts'

const SHORT = 8

/** Shortened ids, with the full id as tooltip. */
export const Ids = ({ ids }: { readonly ids: WorkItem['ids'] }): View =>
  html`<span class="ids"
    >${ids.map(
      ([name, id]) =>
        html`<span class="short-id mono" title=${`${name}_id ${escapeLine(id)}`}
          >${idName(name)} ${escapeLine(id.slice(0, SHORT))}${id.length > SHORT ? '…' : ''}</span
        >`,
    )}</span
  >`

export const Status = ({ status, failed }: { readonly status: string; readonly failed?: boolean }): View =>
  status === '' ? null : html`<span class=${failed ? 'status bad' : 'status'}>${statusName(status)}</span>`

const OneOrder = ({ order }: { readonly order: WorkItem }): View => {
  const { title, kind, assignee, status, ids, more } = order
  return html`
    <li class="order">
      <div class="order-head">
        <bdi class="order-title">${escapeLine(title)}</bdi>
        ${kind !== '' && html`<span class="kind">${kindName(kind)}</span>`}
        <${Status} status=${status} />
        ${assignee !== '' && html`<span class="assignee">${t('assignedTo', { who: agentName(assignee) })}</span>`}
        <${Ids} ids=${ids} />
      </div>
      ${more !== null && html`<${Json} value=${more} bare />`}
    </li>
  `
}

/** List of tasks, actions or commands. */
export const WorkItemList = ({ orders }: { readonly orders: readonly WorkItem[] }): View =>
  orders.length === 0
    ? null
    : html`<ol class="orders">${orders.map((order) => html`<${OneOrder} order=${order} />`)}</ol>`
