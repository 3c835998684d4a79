import { DIM, RED, roleStyle, type Styler } from '../terminal/colours.ts'
import { escapeForTerminal, getDisplayWidth, pad, truncate, wrap } from '../terminal/escape.ts'

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Newer JSON API, missing in the type declarations: source text in revivers, and raw JSON. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON(text: string): unknown
  isRawJSON(value: unknown): boolean
}

const keepDigits: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && source !== undefined && String(value) !== source ? rawJSON(source) : value

const nonEmptyText = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

const formatAssignments = (value: unknown, name: string, assignee: string): string | null => {
  if (!Array.isArray(value) || value.length === 0) return null
  const items = value.filter(isFields).map((item) => {
    const to = nonEmptyText(item[assignee])
    return `${to === null ? '' : `@${to.replace(/^_/, '')} `}${nonEmptyText(item[name]) ?? '?'}`
  })
  return items.join('; ')
}

/** Summarizes the data formats of DeepSOC's agents; null for any other. */
const summarizeData = (data: unknown): string | null => {
  if (typeof data === 'string') return data
  if (!isFields(data)) return null
  const list =
    formatAssignments(data.tasks, 'task_name', 'task_assignee') ??
    formatAssignments(data.actions, 'action_name', 'action_assignee') ??
    formatAssignments(data.commands, 'command_name', 'command_assignee')
  const kind = nonEmptyText(data.response_type)
  const responseText = [nonEmptyText(data.response_text), list].filter((part) => part !== null).join(' → ')
  if (kind !== null) return responseText === '' ? kind : `${kind}: ${responseText}`
  const result = nonEmptyText(data.status)
  if (result !== null && data.result !== undefined) {
    return `${nonEmptyText(data.command_name) ?? 'command'} ${result}: ${JSON.stringify(data.result)}`
  }
  return nonEmptyText(data.text) ?? nonEmptyText(data.ai_summary) ?? nonEmptyText(data.event_summary)
}

/** Returns a summary of message_content. Control characters are not escaped yet. */
const summarizeContent = (content: unknown): string => {
  if (content === undefined || content === null) return ''
  if (typeof content === 'string') return content
  if (isFields(content)) {
    const summary = summarizeData(content.data) ?? nonEmptyText(content.text) ?? nonEmptyText(content.content)
    if (summary !== null) return summary
  }
  return JSON.stringify(content)
}

/** Depth from which `outline` prints JSON, since indentation would grow without bound. */
const MAX_DEPTH = 16

/** Returns the members of a JSON object or array; empty for any other value, as numbers that `keepDigits` has kept. */
const listMembers = (value: unknown): (readonly [key: string, value: unknown])[] => {
  if (Array.isArray(value)) return value.map((item) => ['-', item])
  return isFields(value) && !isRawJSON(value) ? Object.entries(value).map(([key, item]) => [`${key}:`, item]) : []
}

/** Lays out JSON with a key per line, and texts with their line breaks. */
const outline = (value: unknown, depth = 0): string[] => {
  if (typeof value === 'string') return value.split(/\r?\n/)
  const members = listMembers(value)
  if (members.length === 0 || depth === MAX_DEPTH) return [JSON.stringify(value)]
  return members.flatMap(([label, item]) => {
    const [first = '', ...rest] = outline(item, depth + 1)
    const isInline = Array.isArray(value) || (rest.length === 0 && listMembers(item).length === 0)
    const lines = isInline ? [`${label} ${first}`] : [label, `  ${first}`]
    return [...lines, ...rest.map((line) => `  ${line}`)]
  })
}

const COLUMNS = { id: 7, role: 9, type: 22, event: 24 }
/** Maximum number of lines of a summary. */
const SUMMARY_LINES = 10
/** Minimum width of the text to the right of the columns; if there is less, it starts below them. */
const MIN_TEXT_COLUMNS = 40
const INDENT = 4

export interface LineStyle {
  readonly applyStyle: Styler
  /** Width of the terminal; Infinity for one line per message. */
  readonly columns: number
  /** Adds a column with the event id. */
  readonly withEvent: boolean
  /** Prints all of message_content with its line breaks, not a summary. */
  readonly full: boolean
  /** Prints date and time in UTC, not the local time of day. */
  readonly utc: boolean
}

const formatTime = (value: unknown, utc: boolean): string => {
  const time = new Date(String(value))
  if (Number.isNaN(time.getTime())) return '--:--:--'
  return utc ? time.toISOString().replace('T', ' ').replace(/\.\d+/, '') : time.toTimeString().slice(0, 8)
}

/**
 * Formats a message: time, db_id, role, type, and a summary or all of its content, wrapped at the width of the terminal.
 * Control characters are escaped.
 *
 * @param data the JSON text of the message
 */
export const formatMessage = (data: string, style: LineStyle): string => {
  try {
    return renderMessage(JSON.parse(data, keepDigits as never) as Fields, style)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    // JSON nested too deeply overflows the stack with a reviver, but not without one; it must not end `tail`.
    return renderMessage({ ...(JSON.parse(data) as Fields), message_content: data }, style)
  }
}

const renderMessage = (message: Fields, style: LineStyle): string => {
  const { applyStyle, columns, full, utc, withEvent } = style
  const { label, style: roleColour } = roleStyle(nonEmptyText(message.message_from ?? message.source))
  const type = nonEmptyText(message.message_type ?? message.type) ?? '-'
  const cell = (text: string, width: number) =>
    pad(
      columns === Number.POSITIVE_INFINITY ? escapeForTerminal(text) : truncate(escapeForTerminal(text), width),
      width,
    )
  const id = `#${message.db_id}`.padStart(COLUMNS.id)
  const head = [formatTime(message.received_at, utc), id, cell(label, COLUMNS.role), cell(type, COLUMNS.type)]
  if (withEvent) head.splice(2, 0, cell(String(message.event_id), COLUMNS.event))
  const headWidth = head.reduce((sum, part) => sum + getDisplayWidth(part) + 1, 0)
  const failed = /^(error_|llm_unexpected)/.test(type)
  const parts = head.map((part, index) => {
    if (index === head.length - 2) return applyStyle(part, roleColour)
    return applyStyle(part, index === head.length - 1 && failed ? RED : DIM)
  })
  const content = message.message_content ?? message.content
  const text = full ? fullLines(content) : summaryLines(content, columns)
  return layOut(parts.join(' '), headWidth, text, style).trimEnd()
}

const fullLines = (content: unknown): string[] =>
  content === undefined || content === null
    ? []
    : outline(content).map((line) => escapeForTerminal(line.replaceAll('\t', '  ')))

const summaryLines = (content: unknown, columns: number): string[] => {
  const summary = summarizeContent(content).replace(/\s+/g, ' ').trim()
  // Avoids escaping all of a long text.
  return [escapeForTerminal(summary.slice(0, columns * (SUMMARY_LINES + 1)))]
}

/** Puts the text to the right of the head, or below it if there is little room. */
const layOut = (head: string, headWidth: number, text: readonly string[], { columns, full }: LineStyle): string => {
  // The last column stays free, since some terminals wrap a line that reaches it.
  const room = columns - headWidth - 1
  const [first = '', ...more] = text
  const fits = more.length === 0 && first.length <= room && getDisplayWidth(first) <= room
  if (fits) return `${head} ${first}`
  const isBelow = columns === Number.POSITIVE_INFINITY || room < MIN_TEXT_COLUMNS
  const indent = ' '.repeat(isBelow ? INDENT : headWidth)
  const width = Math.max(10, isBelow ? columns - INDENT - 1 : room)
  const wrapped = text.flatMap((line) => (columns === Number.POSITIVE_INFINITY ? [line] : wrap(line, width)))
  const lines = full ? wrapped : wrapped.slice(0, SUMMARY_LINES)
  if (lines.length < wrapped.length) lines.push(truncate(`${lines.pop()} …`, width))
  const body = lines.join(`\n${indent}`)
  return isBelow ? `${head.trimEnd()}\n${indent}${body}` : `${head} ${body}`
}
