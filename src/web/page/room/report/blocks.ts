import { escapeControlChars, escapeLine } from '../../shared/escape-control-chars.ts'
import { stringifyLosslessJson } from '../../shared/lossless-json.ts'
import { roomText as t } from '../messages.ts'
import type { Entry } from '../model/entry.ts'
import { parseContent, type WorkItem } from '../model/parse-content.ts'
import { agentName, answerName, idName, kindName, statusName } from '../role-messages.ts'

/** A part of a message in a report. Control characters are visible; the text is not escaped for any format yet. */
export type Block =
  | { readonly as: 'text' | 'markdown' | 'code' | 'label'; readonly text: string }
  | { readonly as: 'item'; readonly title: string; readonly facts: readonly string[] }

const code = (value: unknown): Block => ({
  as: 'code',
  text: escapeControlChars(typeof value === 'string' ? value : stringifyLosslessJson(value)),
})

const text = (as: 'text' | 'markdown', value: string): readonly Block[] =>
  value === '' ? [] : [{ as, text: escapeControlChars(value) }]

const item = (title: string, facts: readonly string[]): readonly Block[] => {
  const known = facts.filter(Boolean)
  return title === '' && known.length === 0 ? [] : [{ as: 'item', title: escapeLine(title), facts: known }]
}

const details = (more: unknown): readonly Block[] =>
  more === null ? [] : [{ as: 'label', text: t('details') }, code(more)]

const idFacts = (ids: WorkItem['ids']): readonly string[] =>
  ids.map(([name, id]) => `${idName(name)} ${escapeLine(id)}`)

const statusFact = (status: string): string => (status === '' ? '' : statusName(status))

const workItem = ({ title, kind, assignee, status, ids }: WorkItem): readonly Block[] =>
  item(title, [
    kind === '' ? '' : kindName(kind),
    statusFact(status),
    assignee === '' ? '' : t('assignedTo', { who: agentName(assignee) }),
    ...idFacts(ids),
  ])

/** Returns the whole content of a message, nothing folded. Pure, except for the language of the page. */
export const toBlocks = (entry: Entry): readonly Block[] => {
  const content = parseContent(entry)
  const as = content.isMarkdown ? 'markdown' : 'text'
  switch (content.as) {
    case 'notice':
    case 'text':
      return [...item('', [statusFact(content.status)]), ...text(as, content.text), ...details(content.more)]
    case 'markdown':
      return [
        ...item('', [statusFact(content.status), ...idFacts(content.ids)]),
        ...content.parts.flatMap((part, index): readonly Block[] => [
          ...(index === 0 ? [] : [{ as: 'label', text: t('suggestion') } as const]),
          ...text('markdown', part),
        ]),
        ...details(content.more),
      ]
    case 'orders':
      return [
        ...item('', [answerName(content.answer, content.orders.length === 0)]),
        ...text(as, content.text),
        ...content.orders.flatMap((order) => [...workItem(order), ...(order.more === null ? [] : [code(order.more)])]),
        ...details(content.more),
      ]
    case 'result':
      return [
        ...workItem(content.order),
        ...text(as, content.text),
        code(content.value),
        ...details(content.order.more),
      ]
    case 'json':
      return [code(content.value)]
    default:
      return [code(entry.raw)]
  }
}

/** Returns the beginning of what a message says, on one line. */
export const toExcerpt = (entry: Entry, characters: number): string => {
  const texts = toBlocks(entry).map((block) =>
    block.as === 'item' ? block.title || block.facts.join(' · ') : block.text,
  )
  const line = texts.join(' ').replaceAll(/\s+/g, ' ').trim()
  return line.length > characters ? `${line.slice(0, characters).replace(/[\ud800-\udbff]$/, '')}…` : line
}
