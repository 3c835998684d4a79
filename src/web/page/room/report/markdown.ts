import type { Entry } from '../model/entry.ts'
import { type Block, toBlocks } from './blocks.ts'
import {
  formatTimestamp,
  getReportTitle,
  listReportFacts,
  type ReportHead,
  toMessageLine,
  withSections,
} from './head.ts'
import { reportText as t } from './messages.ts'
import { codeBlock, codeSpan, escapeMarkdown, plainMarkdown, safeMarkdown } from './safe-markdown.ts'

const headMarkdown = (head: ReportHead, entries: readonly Entry[]): string => {
  const facts = listReportFacts(head, entries).map(([label, fact]) => `- ${label}: ${escapeMarkdown(fact)}\n`)
  const empty = entries.length === 0 ? `${t('none')}\n\n` : ''
  return `# ${escapeMarkdown(getReportTitle(head))}\n\n${facts.join('')}\n${empty}`
}

const isJson = (text: string): boolean => /^\s*[[{]/.test(text)

const blockMarkdown = (block: Block): string => {
  switch (block.as) {
    case 'item': {
      const title = block.title === '' ? [] : [`**${escapeMarkdown(block.title)}**`]
      return `${[...title, ...block.facts.map(codeSpan)].join(' ')}\n\n`
    }
    case 'markdown':
      return safeMarkdown(block.text)
    case 'code':
      return codeBlock(block.text, isJson(block.text) ? 'json' : '')
    case 'label':
      return `*${escapeMarkdown(block.text)}*\n\n`
    case 'text':
      return plainMarkdown(block.text)
  }
}

const messageMarkdown = (entry: Entry): string => {
  const { who, name, type, mark } = toMessageLine(entry)
  const line = [`#${entry.id}`, ...[who, name, mark, type].filter(Boolean).map(escapeMarkdown)].join(' · ')
  const stamp = formatTimestamp(entry.at)
  return `### ${line}\n\n${stamp === '' ? '' : `${stamp}\n\n`}${toBlocks(entry).map(blockMarkdown).join('')}`
}

/** Yields a report as Markdown. All texts are escaped; only the Markdown of agents keeps its formatting. */
export function* markdownPieces(head: ReportHead, entries: readonly Entry[]): Generator<string> {
  yield headMarkdown(head, entries)
  for (const [section, entry] of withSections(entries)) {
    yield `${section === null ? '' : `## ${escapeMarkdown(section)}\n\n`}${messageMarkdown(entry)}`
  }
}
