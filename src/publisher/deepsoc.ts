import type { ChatMessage, DeepsocData, ExtraFields } from './deepsoc-data.ts'
import { createMessageId, type OutgoingMessage } from './message.ts'

/** The event and round that a message belongs to, and its time. */
export interface MessageContext {
  readonly event_id: string
  readonly round_id?: number | null
  /** Default: now. */
  readonly at?: Date
  /** Default: a new UUIDv7. */
  readonly message_id?: string
}

/** Context of a message; for the engineers' chat also its author. */
export interface ChatContext extends MessageContext {
  /** The user who writes; `message_from` of a question to the AI. */
  readonly user_id?: string | null
  readonly chat_session_id?: string | null
}

export type DeepsocRole = keyof DeepsocData

/**
 * How the content is built from the data. `data`: `{data, timestamp}`. `response`: the same, with the data wrapped in
 * the envelope of an LLM response. `event`: the same as `data`, with the event and round added to the data. `chat`:
 * `{content, timestamp}`, in the chat between an engineer and the AI. `typed`: `{type: "text", text}`.
 */
interface ContentFormat {
  readonly form: 'data' | 'response' | 'event' | 'chat' | 'typed'
  /** The role that must act on a response. */
  readonly to?: string
  /** `message_from` of this type, if it is not that of the role. */
  readonly from?: string
  /** `sender_type` in the chat; null in all other messages. */
  readonly sender?: 'user' | 'ai'
}

interface RoleEntry<Types extends string> {
  /** `message_from`; null if it is the id of the user. */
  readonly from: string | null
  readonly types: Readonly<Record<Types, ContentFormat>>
}

const data: ContentFormat = { form: 'data' }
const chat = (sender: 'user' | 'ai'): ContentFormat => ({ form: 'chat', sender })
const response = (to: string): ContentFormat => ({ form: 'response', to })

/** Every role of DeepSOC and every message type that it sends. The helpers below are generated from this table. */
export const DEEPSOC: { readonly [Role in DeepsocRole]: RoleEntry<string & keyof DeepsocData[Role]> } = {
  system: {
    from: 'system',
    types: {
      llm_request: data,
      manager_llm_request: data,
      operator_llm_request: data,
      expert_llm_request_exec_summary: data,
      expert_llm_request_event_summary: data,
      event_next_round_initiated: data,
      system_notification: data,
      // In place of an answer of the AI that failed.
      chat: chat('ai'),
    },
  },
  captain: {
    from: '_captain',
    types: {
      llm_response: response('_manager'),
      llm_roger_response: data,
      event_completed_by_captain: data,
      error_internal: data,
    },
  },
  manager: {
    from: '_manager',
    types: {
      manager_llm_response: response('_operator'),
      action_created: data,
      error_action_creation: data,
      llm_unexpected_response: data,
      error_internal: data,
    },
  },
  operator: {
    from: '_operator',
    types: {
      operator_llm_response: response('_executor'),
      command_created: data,
      error_command_creation: data,
      llm_unexpected_response: data,
      error_internal: data,
    },
  },
  executor: { from: '_executor', types: { command_result: data } },
  expert: {
    from: '_expert',
    types: {
      execution_summary_generated: data,
      event_summary_generated: { form: 'event' },
      error_execution_summary: data,
    },
  },
  ai: { from: 'ai_assistant', types: { chat: chat('ai') } },
  user: { from: null, types: { chat: chat('user'), user_message: { form: 'typed', from: 'user' } } },
}

/** A message with DeepSOC's fourteen keys. `id` is null because DeepSOC's own database assigns it. */
export interface DeepsocMessage extends OutgoingMessage {
  readonly id: null
  readonly message_id: string
  readonly message_from: string
  readonly message_type: string
  readonly round_id: number | null
}

type Helper<Data> = (place: ChatContext, data: Data) => DeepsocMessage

export type DeepsocHelpers = {
  readonly [Role in DeepsocRole]: {
    readonly [Type in keyof DeepsocData[Role]]: Helper<DeepsocData[Role][Type]>
  }
}

const formatContent = (
  form: ContentFormat,
  from: string,
  place: ChatContext,
  given: ExtraFields | ChatMessage,
  timestamp: string,
): unknown => {
  const { event_id, round_id = null } = place
  if (form.form === 'typed') return { type: 'text', text: given.text }
  if (form.form === 'chat') return { content: given.text, timestamp }
  if (form.form === 'event') return { data: { event_id, round_id, ...given }, timestamp }
  if (form.form === 'data') return { data: given, timestamp }
  return { data: { type: 'llm_response', from, to: form.to, event_id, round_id, ...given }, timestamp }
}

const helper =
  (roleFrom: string | null, message_type: string, form: ContentFormat): Helper<ExtraFields | ChatMessage> =>
  (place, given) => {
    const { event_id, round_id = null, user_id = null, chat_session_id = null, at = new Date() } = place
    const from = form.from ?? roleFrom ?? user_id ?? 'user'
    const isChat = form.form === 'chat'
    const time = at.toISOString()
    return {
      id: null,
      message_id: place.message_id ?? createMessageId(),
      event_id,
      user_id: isChat && roleFrom !== null ? roleFrom : user_id,
      message_from: from,
      round_id,
      message_content: formatContent(form, from, place, given, time),
      message_type,
      message_category: isChat ? 'engineer_chat' : 'agent',
      chat_session_id: isChat ? chat_session_id : null,
      sender_type: form.sender ?? null,
      event_summary_version: null,
      created_at: time,
      updated_at: time,
    }
  }

const createHelpers = (role: DeepsocRole) => {
  const { from, types } = DEEPSOC[role] as RoleEntry<string>
  return Object.fromEntries(Object.entries(types).map(([type, form]) => [type, helper(from, type, form)]))
}

/**
 * One function per role and message type. It builds a message in DeepSOC's format to pass to `send`, with a message_id
 * of its own, so that the same message can be sent again safely.
 *
 * @example await publisher.send(deepsoc.captain.event_completed_by_captain({ event_id, round_id: 3 }, { text: '结束' }))
 */
export const deepsoc = Object.fromEntries(
  (Object.keys(DEEPSOC) as DeepsocRole[]).map((role) => [role, createHelpers(role)]),
) as unknown as DeepsocHelpers
