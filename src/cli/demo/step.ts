/** One message of an incident, still without id and timestamp. */
export interface ScriptStep {
  /** Milliseconds after the previous step, at human speed. */
  readonly pause: number
  readonly from: string
  readonly type: string
  readonly round: number | null
  /** `data` of message_content; for chat and user_message the whole content except the timestamp. */
  readonly data: unknown
  /** Set for messages of the chat between the engineer and the AI. */
  readonly chat: { readonly sender: 'user' | 'ai'; readonly session: string; readonly summary: string | null } | null
  /** The author of a user_message. */
  readonly user: { readonly id: string; readonly nickname: string } | null
}

/** Minimum and maximum duration of steps at human speed, in milliseconds. */
export const PAUSES = {
  notice: [300, 900],
  model: [3_000, 7_000],
  record: [200, 700],
  run: [1_500, 5_000],
  read: [2_500, 6_000],
  type: [3_500, 8_000],
} as const
