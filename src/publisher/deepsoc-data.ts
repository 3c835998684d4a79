/** Additional fields, passed through unchanged. */
export interface ExtraFields {
  readonly [field: string]: unknown
}

/** A line of text for people. */
export interface Notice extends ExtraFields {
  readonly text: string
}

/** The first message of an event, from DeepSOC's web process. */
export interface SystemNotification extends ExtraFields {
  readonly response_text: string
}

export interface EventCompleted extends Notice {
  /** The captain's closing words. */
  readonly details?: string | null
}

export interface NextRound extends Notice {
  readonly event_id?: string
  readonly event_name?: string | null
  readonly previous_round_id?: number
  readonly new_round_id?: number
}

export interface Task extends ExtraFields {
  readonly task_id?: string
  readonly task_name: string
  readonly task_type?: string
  readonly task_assignee: string
}

export interface CaptainResponse extends ExtraFields {
  readonly response_type: 'TASK' | 'ROGER' | 'MISSION_COMPLETE'
  readonly response_text?: string
  readonly event_name?: string
  readonly tasks?: readonly Task[]
  readonly req_id?: string
  readonly res_id?: string
}

export interface Action extends ExtraFields {
  readonly task_id?: string
  readonly action_id?: string
  readonly action_name: string
  readonly action_type?: string
  readonly action_assignee: string
}

export interface ManagerResponse extends ExtraFields {
  readonly response_type: 'ACTION'
  readonly response_text?: string
  readonly actions: readonly Action[]
}

export interface Command extends ExtraFields {
  readonly task_id?: string
  readonly action_id?: string
  readonly command_id?: string
  readonly command_name: string
  readonly command_type?: string
  readonly command_assignee: string
  /** Pass ids above 2^53 as BigInt. */
  readonly command_entity?: unknown
  readonly command_params?: unknown
}

export interface OperatorResponse extends ExtraFields {
  readonly response_type: 'COMMAND'
  readonly response_text?: string
  readonly commands: readonly Command[]
}

export interface ActionCreated extends Notice {
  readonly action_details: Partial<Action>
}

export interface CommandCreated extends Notice {
  readonly command_details: Partial<Command>
}

export interface CommandResult extends ExtraFields {
  readonly command_id: string
  readonly command_name?: string
  readonly command_type?: string
  readonly action_id?: string
  readonly task_id?: string
  readonly status: string
  readonly result: unknown
}

export interface ExecutionSummary extends ExtraFields {
  readonly execution_id: string
  readonly command_id?: string
  readonly action_id?: string
  readonly task_id?: string
  /** Markdown. */
  readonly ai_summary: string
}

export interface EventSummaryContent extends ExtraFields {
  readonly event_name?: string
  readonly event_status?: string
  readonly summary_id?: string
  /** Markdown. */
  readonly event_summary: string
  readonly event_suggestion?: string
}

export interface ChatMessage {
  /** Markdown in the answers of the AI. */
  readonly text: string
}

/** Data of each message type, by role. A type that is listed here but missing from DEEPSOC fails to compile. */
export interface DeepsocData {
  readonly system: {
    readonly llm_request: Notice
    readonly manager_llm_request: Notice
    readonly operator_llm_request: Notice
    readonly expert_llm_request_exec_summary: Notice
    readonly expert_llm_request_event_summary: Notice
    readonly event_next_round_initiated: NextRound
    readonly system_notification: SystemNotification
    readonly chat: ChatMessage
  }
  readonly captain: {
    readonly llm_response: CaptainResponse
    readonly llm_roger_response: Notice
    readonly event_completed_by_captain: EventCompleted
    readonly error_internal: Notice
  }
  readonly manager: {
    readonly manager_llm_response: ManagerResponse
    readonly action_created: ActionCreated
    readonly error_action_creation: Notice
    readonly llm_unexpected_response: Notice
    readonly error_internal: Notice
  }
  readonly operator: {
    readonly operator_llm_response: OperatorResponse
    readonly command_created: CommandCreated
    readonly error_command_creation: Notice
    readonly llm_unexpected_response: Notice
    readonly error_internal: Notice
  }
  readonly executor: { readonly command_result: CommandResult }
  readonly expert: {
    readonly execution_summary_generated: ExecutionSummary
    readonly event_summary_generated: EventSummaryContent
    readonly error_execution_summary: Notice
  }
  readonly ai: { readonly chat: ChatMessage }
  readonly user: { readonly chat: ChatMessage; readonly user_message: ChatMessage }
}
