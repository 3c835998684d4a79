import { escapeLine } from '../../shared/escape-control-chars.ts'
import { html, type View } from '../../shared/html.ts'
import { roomText as t } from '../messages.ts'
import type { Entry } from '../model/entry.ts'
import { type ParsedContent, parseContent } from '../model/parse-content.ts'
import { parseJsonText } from '../model/text-kind.ts'
import { answerName, kindName } from '../role-messages.ts'
import { Json, JsonBlock } from './json.ts'
import { LongText } from './long-text.ts'
import { Ids, Status, WorkItemList } from './work-items.ts'

const KEPT = 400
const kept = new Map<Entry, ReturnType<typeof parseContent>>()

const readOnce = (entry: Entry): ReturnType<typeof parseContent> => {
  const known = kept.get(entry)
  if (known !== undefined) return known
  if (kept.size >= KEPT) kept.delete(kept.keys().next().value!)
  const reading = parseContent(entry)
  kept.set(entry, reading)
  return reading
}

const AnswerMark = ({ answer, isEmpty }: { readonly answer: string; readonly isEmpty: boolean }): View => {
  const name = answerName(answer, isEmpty)
  return name === '' ? null : html`<span class="status good">${name}</span>`
}

interface ResultProps {
  readonly reading: Extract<ParsedContent, { as: 'result' }>
  readonly isMarkdown: boolean
}

const Result = ({ reading, isMarkdown }: ResultProps): View => {
  const { order, failed, value, text } = reading
  const json = typeof value === 'string' ? parseJsonText(value) : undefined
  return html`
    <div class="order-head">
      <bdi class="order-title">${escapeLine(order.title)}</bdi>
      ${order.kind !== '' && html`<span class="kind">${kindName(order.kind)}</span>`}
      <${Status} status=${order.status} failed=${failed} />
      <${Ids} ids=${order.ids} />
    </div>
    ${text !== '' && html`<${LongText} text=${text} markdown=${isMarkdown} />`}
    <${JsonBlock} value=${json ?? value} text=${json === undefined ? undefined : value} />
    <${More} more=${order.more} />
  `
}

const More = ({ more }: { readonly more: unknown }): View =>
  more === null
    ? null
    : html`<details class="details"><summary>${t('details')}</summary><${Json} value=${more} /></details>`

/** Content of a message, rendered by its type. */
export const Body = ({ entry }: { readonly entry: Entry }): View => {
  const reading = readOnce(entry)
  const { isMarkdown } = reading
  switch (reading.as) {
    case 'notice':
    case 'text':
      return html`
        <${Status} status=${reading.status} />
        ${reading.text !== '' && html`<${LongText} text=${reading.text} markdown=${isMarkdown} />`}
        <${More} more=${reading.more} />
      `
    case 'markdown':
      return html`
        <${Status} status=${reading.status} />
        ${reading.parts.map(
          (part, index) => html`
            ${index > 0 && html`<p class="part-name">${t('suggestion')}</p>`}
            <${LongText} text=${part} markdown />
          `,
        )}
        ${reading.ids.length > 0 && html`<p class="belongs"><${Ids} ids=${reading.ids} /></p>`}
        <${More} more=${reading.more} />
      `
    case 'orders':
      return html`
        <${AnswerMark} answer=${reading.answer} isEmpty=${reading.orders.length === 0} />
        ${reading.text !== '' && html`<${LongText} text=${reading.text} markdown=${isMarkdown} />`}
        <${WorkItemList} orders=${reading.orders} />
        <${More} more=${reading.more} />
      `
    case 'result':
      return html`<${Result} reading=${reading} isMarkdown=${isMarkdown} />`
    case 'json':
      return html`<${JsonBlock} value=${reading.value} />`
  }
}
