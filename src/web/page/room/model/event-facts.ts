/** What one message tells about its event; empty texts if nothing. */
export interface EventFacts {
  readonly name: string
  readonly severity: string
  readonly status: string
}

const MAX_TEXT = 200

/** DeepSOC changes the status with these messages, which do not contain it. */
const STATUS_BY_TYPE: Readonly<Record<string, string>> = {
  llm_request: 'processing',
  event_next_round_initiated: 'pending',
  event_completed_by_captain: 'completed',
  event_resolved_manual: 'resolved',
}

/** Text of DeepSOC's first message of an event. */
const CREATED = /^系统创建了安全事件: (?!未命名事件$)(.+)$/

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const short = (value: unknown): string => (typeof value === 'string' ? value.trim().slice(0, MAX_TEXT) : '')

/** Returns the name, severity and status of the event that a message of an agent contains; null if it has none. Pure. */
export const extractEventFacts = (message: Fields): EventFacts | null => {
  const { message_category, sender_type } = message
  if (message_category === 'engineer_chat' || sender_type === 'user' || sender_type === 'ai') return null
  const type = short(message.message_type ?? message.type)
  const content = message.message_content ?? message.content
  const inner = isFields(content) && isFields(content.data) ? content.data : content
  const data = isFields(inner) ? inner : {}
  const created = type === 'system_notification' ? CREATED.exec(short(data.response_text))?.[1] : undefined
  const name = short(data.event_name) || (created ?? '')
  const status = short(data.event_status) || (Object.hasOwn(STATUS_BY_TYPE, type) ? STATUS_BY_TYPE[type]! : '')
  const severity = short(data.severity)
  return name === '' && status === '' && severity === '' ? null : { name, severity, status }
}

/** Name, severity and status of an event: of each the newest, in whatever order messages are added. */
export class EventProfile implements EventFacts {
  name = ''
  severity = ''
  status = ''
  readonly #ids = { name: 0, severity: 0, status: 0 }

  /** @returns whether something has changed */
  add(db_id: number, facts: EventFacts | null): boolean {
    if (facts === null) return false
    let changed = false
    for (const key of ['name', 'severity', 'status'] as const) {
      if (facts[key] === '' || db_id < this.#ids[key]) continue
      changed ||= this[key] !== facts[key]
      this[key] = facts[key]
      this.#ids[key] = db_id
    }
    return changed
  }
}
