import { DIM, RED, roleStyle, type Styler } from '../terminal/colours.ts'
import { escapeForTerminal, pad, truncate, widthOf } from '../terminal/escape.ts'

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Newer JSON API, missing in the type declarations: source text in revivers, and JSON.rawJSON. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

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
export const summarizeContent = (content: unknown): string => {
  if (content === undefined || content === null) return ''
  if (typeof content === 'string') return content
  if (isFields(content)) {
    const summary = summarizeData(content.data) ?? nonEmptyText(content.text) ?? nonEmptyText(content.content)
    if (summary !== null) return summary
  }
  return JSON.stringify(content)
}

const COLUMNS = { id: 7, role: 9, type: 22, event: 24 }

export interface LineStyle {
  readonly applyStyle: Styler
  /** Maximum width; Infinity to disable truncation. */
  readonly columns: number
  /** Adds a column with the event id. */
  readonly withEvent: boolean
}

const formatTime = (value: unknown): string => {
  const time = new Date(String(value))
  return Number.isNaN(time.getTime()) ? '--:--:--' : time.toTimeString().slice(0, 8)
}

/**
 * Formats a message as one line: time, db_id, role, type and summary. Control characters are escaped.
 *
 * @param data the JSON text of the message
 */
export const formatMessageLine = (data: string, style: LineStyle): string => {
  try {
    return renderLine(JSON.parse(data, keepDigits as never) as Fields, style)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    // JSON nested too deeply overflows the stack with a reviver, but not without one; it must not end `tail`.
    return renderLine({ ...(JSON.parse(data) as Fields), message_content: data }, style)
  }
}

const renderLine = (message: Fields, { applyStyle, columns, withEvent }: LineStyle): string => {
  const { label, style } = roleStyle(nonEmptyText(message.message_from ?? message.source))
  const type = nonEmptyText(message.message_type ?? message.type) ?? '-'
  const unlimited = columns === Number.POSITIVE_INFINITY
  const cell = (text: string, width: number) =>
    pad(unlimited ? escapeForTerminal(text) : truncate(escapeForTerminal(text), width), width)
  const id = `#${message.db_id}`.padStart(COLUMNS.id)
  const head = [formatTime(message.received_at), id, cell(label, COLUMNS.role), cell(type, COLUMNS.type)]
  if (withEvent) head.splice(2, 0, cell(String(message.event_id), COLUMNS.event))
  const headWidth = head.reduce((sum, part) => sum + widthOf(part) + 1, 0) + 1
  const summary = summarizeContent(message.message_content ?? message.content)
    .replace(/\s+/g, ' ')
    .trim()
  const escapedSummary = escapeForTerminal(unlimited ? summary : summary.slice(0, columns * 2))
  const failed = /^(error_|llm_unexpected)/.test(type)
  const parts = head.map((part, index) => {
    if (index === head.length - 2) return applyStyle(part, style)
    return applyStyle(part, index === head.length - 1 && failed ? RED : DIM)
  })
  const body = unlimited ? escapedSummary : truncate(escapedSummary, Math.max(10, columns - headWidth))
  return `${parts.join(' ')} ${body}`.trimEnd()
}
