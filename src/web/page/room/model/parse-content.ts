import { isJsonObject, LosslessNumber, parseLosslessJson } from '../../shared/lossless-json.ts'
import type { Entry } from './entry.ts'

type Fields = Readonly<Record<string, unknown>>

/** One task, action or command. */
export interface WorkItem {
  readonly title: string
  readonly kind: string
  readonly assignee: string
  readonly status: string
  /** Ids of the item and its parents, by name. */
  readonly ids: readonly (readonly [name: string, id: string])[]
  /** Other fields, such as parameters; null if there are none. */
  readonly more: Fields | null
}

/** Content of a message, by the way it is displayed. */
export type ParsedContent =
  | ({ readonly as: 'text' | 'notice'; readonly text: string } & Pick<WorkItem, 'status' | 'more'>)
  | ({ readonly as: 'markdown'; readonly parts: readonly string[] } & Pick<WorkItem, 'status' | 'ids' | 'more'>)
  | {
      readonly as: 'orders'
      readonly text: string
      readonly answer: string
      readonly orders: readonly WorkItem[]
      /** Other fields of a response without a list; null if there are none. */
      readonly more: Fields | null
    }
  | {
      readonly as: 'result'
      readonly order: WorkItem
      readonly failed: boolean
      readonly value: unknown
      /** What an agent wrote about the result; empty if nothing. */
      readonly text: string
    }
  | { readonly as: 'json'; readonly value: unknown }

const textIn = (value: unknown): string => {
  if (value instanceof LosslessNumber) return value.text
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== ''

const IDS = ['task_id', 'action_id', 'command_id', 'execution_id', 'summary_id'] as const

/** Fields with what an agent has written, by rank. */
const TEXTS = ['text', 'content', 'response_text', 'ai_summary', 'event_summary'] as const

/** Returns the different texts of these fields, separated by empty lines. */
const textsIn = (fields: Fields, names: readonly string[]): string =>
  [...new Set(names.map((name) => fields[name]).filter(isText))].join('\n\n')

const listIds = (fields: Fields): WorkItem['ids'] =>
  IDS.flatMap((name) => {
    const id = textIn(fields[name])
    return id === '' ? [] : [[name.replace('_id', ''), id] as const]
  })

const USUAL = /^(id|type|from|to|event_id|event_name|round_id|timestamp|created_at|updated_at)$/

const isPlain = (value: unknown): boolean => value === '' || textIn(value) !== ''

/** Returns the fields that are neither shown elsewhere nor the same in all messages; null if there are none. */
const getOtherFields = (fields: Fields, of: string, shown: readonly string[] = []): Fields | null => {
  const brief = new Set<string>([
    ...IDS,
    'status',
    ...['name', 'type', 'assignee', 'status'].map((part) => `${of}_${part}`),
  ])
  const isMore = ([key, value]: [string, unknown]): boolean =>
    value !== null && !shown.includes(key) && !(isPlain(value) && (brief.has(key) || USUAL.test(key)))
  const more = Object.entries(fields).filter(isMore)
  return more.length === 0 ? null : Object.fromEntries(more)
}

const toWorkItem = (fields: Fields, of: string, shown?: readonly string[]): WorkItem => ({
  title: textIn(fields[`${of}_name`]),
  kind: textIn(fields[`${of}_type`]),
  assignee: textIn(fields[`${of}_assignee`]),
  status: textIn(fields[`${of}_status`] ?? fields.status),
  ids: listIds(fields),
  more: getOtherFields(fields, of, shown),
})

const LISTS = { tasks: 'task', actions: 'action', commands: 'command' } as const

/** Responses of the captain, which the language model can write without a list of tasks. */
const ANSWERS = new Set(['TASK', 'ROGER', 'MISSION_COMPLETE'])

const ANSWER_FIELDS = ['response_type', 'response_text', 'ai_summary', 'req_id', 'res_id']

const readOrders = (data: Fields): ParsedContent | null => {
  const answer = textIn(data.response_type)
  const text = textsIn(data, ['response_text', 'ai_summary'])
  for (const [list, of] of Object.entries(LISTS)) {
    const orders = data[list]
    if (!Array.isArray(orders) || !orders.every(isJsonObject)) continue
    if (text === '' && orders.length === 0 && !ANSWERS.has(answer)) return null
    return { as: 'orders', text, answer, orders: orders.map((one) => toWorkItem(one, of)), more: null }
  }
  if (!ANSWERS.has(answer)) return null
  return { as: 'orders', text, answer, orders: [], more: getOtherFields(data, 'task', ANSWER_FIELDS) }
}

const readCreated = (data: Fields): ParsedContent | null => {
  for (const name of ['action', 'command']) {
    const details = data[`${name}_details`]
    if (!isJsonObject(details)) continue
    const text = textsIn(data, ['text', 'ai_summary'])
    return { as: 'orders', text, answer: '', orders: [toWorkItem(details, name)], more: null }
  }
  return null
}

const readResult = (data: Fields): ParsedContent | null => {
  if (!('result' in data)) return null
  const order = toWorkItem(data, 'command', ['result', ...TEXTS.filter((name) => isText(data[name]))])
  return {
    as: 'result',
    order,
    failed: /fail|error|timeout/i.test(order.status),
    value: data.result,
    text: textsIn(data, TEXTS),
  }
}

const SUMMARIES = ['ai_summary', 'event_summary', 'event_suggestion'] as const

const readSummary = (data: Fields): ParsedContent | null => {
  const written = SUMMARIES.filter((key) => isText(data[key]))
  if (written.length === 0) return null
  const parts = written.map((key) => data[key] as string)
  const shown = SUMMARIES.filter((key) => typeof data[key] === 'string')
  return {
    as: 'markdown',
    parts,
    status: textIn(data.event_status),
    ids: listIds(data),
    more: getOtherFields(data, 'event', shown),
  }
}

/** A change of an execution, as DeepSOC sends it to its page: the ids of the execution and its status. */
const readExecution = (data: Fields): ParsedContent | null => {
  const ids = listIds(data)
  if (ids.length === 0) return null
  const order = toWorkItem(data, 'execution', [
    'command_name',
    'command_type',
    ...TEXTS.filter((name) => isText(data[name])),
  ])
  const item = { ...order, title: textIn(data.command_name), kind: textIn(data.command_type) }
  return { as: 'orders', text: textsIn(data, TEXTS), answer: '', orders: [item], more: null }
}

const EVENT_FIELDS = [
  ...SUMMARIES,
  'text',
  'details',
  'event_round',
  'previous_round_id',
  'new_round_id',
  'resolution_note',
]

/** A change of the event: its text, which contains the other fields, and its status. */
const readEvent = (data: Fields, entry: Entry): ParsedContent | null => {
  // The text of a new round is enough: that the event is pending is the same each time.
  const status = entry.type === 'event_next_round_initiated' ? '' : (entry.facts?.status ?? '')
  const details = isText(data.details) ? data.details : ''
  const lines = [data.text, details].filter(isText).join('\n')
  const text = [lines, textsIn(data, SUMMARIES)].filter(isText).join('\n\n')
  if (text === '' && status === '') return null
  const shown =
    details === '' && data.details !== undefined ? EVENT_FIELDS.filter((key) => key !== 'details') : EVENT_FIELDS
  const as = entry.tone === 'notice' ? 'notice' : 'text'
  return { as, text, status, more: getOtherFields(data, 'event', [...shown, 'resolved_at']) }
}

type Reader = (data: Fields, entry: Entry) => ParsedContent | null

const READERS: Readonly<Record<string, Reader>> = {
  llm_response: readOrders,
  manager_llm_response: readOrders,
  operator_llm_response: readOrders,
  action_created: readCreated,
  command_created: readCreated,
  command_result: readResult,
  execution_summary: readSummary,
  execution_summary_generated: readSummary,
  event_summary: readSummary,
  event_summary_generated: readSummary,
  execution_update: readExecution,
  new_execution: readExecution,
  event_next_round_initiated: readEvent,
  event_completed_by_captain: readEvent,
  event_resolved_manual: readEvent,
  status: readEvent,
}

const BESIDE = new Set<string>(['timestamp', 'type'])

/** Fallback for unknown data: its text if it has one, and the rest as JSON. */
const readAny = (data: unknown, entry: Entry): ParsedContent => {
  const as = entry.tone === 'notice' ? 'notice' : 'text'
  if (isText(data)) return entry.role === 'ai' ? markdown(data) : { as, text: data, status: '', more: null }
  if (!isJsonObject(data)) return { as: 'json', value: data }
  const text = textsIn(data, TEXTS)
  if (text === '') return { as: 'json', value: data }
  const isShown = (name: string): boolean => (TEXTS as readonly string[]).includes(name) && isText(data[name])
  const rest = Object.entries(data).filter(([name]) => !isShown(name) && !BESIDE.has(name))
  if (rest.length === 0 && entry.role === 'ai') return markdown(text)
  return { as, text, status: '', more: rest.length === 0 ? null : Object.fromEntries(rest) }
}

const markdown = (text: string): ParsedContent => ({ as: 'markdown', parts: [text], status: '', ids: [], more: null })

/** Agents write Markdown; the marks of the system and of people are meant as they are. */
const isAgent = ({ role, type }: Entry, { sender_type, message_category }: Fields): boolean => {
  const isPerson = role === 'user' && (sender_type === 'user' || message_category === 'engineer_chat')
  return !isPerson && role !== 'system' && type !== 'user_message'
}

/**
 * Parses the content of a message for display. Never throws: unexpected data is shown as JSON. Pure.
 *
 * @returns the content, and whether its texts are Markdown
 */
export const parseContent = (entry: Entry): ParsedContent & { readonly isMarkdown: boolean } => {
  const message = parseLosslessJson(entry.raw)
  if (!isJsonObject(message)) return { as: 'json', value: message, isMarkdown: false }
  return { ...readContent(message, entry), isMarkdown: isAgent(entry, message) }
}

const readContent = (message: Fields, entry: Entry): ParsedContent => {
  const content = message.message_content ?? message.content
  const data = isJsonObject(content) && content.data !== undefined ? content.data : content
  if (data === undefined || data === null) return { as: 'json', value: ownFields(message) }
  const read = isJsonObject(data) && Object.hasOwn(READERS, entry.type) ? READERS[entry.type]!(data, entry) : null
  return read ?? readAny(data, entry)
}

/** Returns all published fields, for a message without content. */
const ownFields = (message: Fields): Fields => {
  const { db_id: _db, received_at: _at, ...own } = message
  return own
}
