import { Incident } from './incident.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { SeededRandom } from './seeded-random.ts'
import type { ScriptStep } from './step.ts'

/** One scheduled message of the demo. */
export interface ScheduledMessage {
  /** Milliseconds after the start of the demo, at human speed. */
  readonly at: number
  readonly event_id: string
  readonly step: ScriptStep
}

export interface ScriptOptions {
  /** The same seed generates the same messages. */
  readonly seed: number
  /** Number of incidents. */
  readonly events: number
  /** Name of this run, part of its event ids. */
  readonly run: string
}

/** Minimum and maximum delay between the starts of two incidents, in milliseconds. */
const STAGGER = [4_000, 14_000] as const

/** Generates all messages of the demo in order. Pure. */
export const writeScript = ({ seed, events, run }: ScriptOptions): ScheduledMessage[] => {
  const random = new SeededRandom(seed)
  const first = random.integer(0, SCENARIOS.length - 1)
  const messages: ScheduledMessage[] = []
  let startsAt = 0
  for (let index = 0; index < events; index++) {
    const scenario = SCENARIOS[(first + index) % SCENARIOS.length]!(random)
    const event_id = `${scenario.slug}-${run}-${index + 1}`
    let at = startsAt
    for (const step of new Incident(scenario, event_id, random).write()) {
      at += step.pause
      messages.push({ at, event_id, step })
    }
    startsAt += random.integer(...STAGGER)
  }
  // The sort is stable, so messages with the same time keep their order.
  return messages.sort((a, b) => a.at - b.at)
}

/** ISO 8601 without a zone, as DeepSOC writes times. */
const formatWithoutZone = (ms: number): string => new Date(ms).toISOString().slice(0, -1)

/**
 * Serializes a message as DeepSOC's agents publish it, with the same fourteen keys in the same order; a user_message has
 * the nickname as well. Times are in UTC in the chat, and in the zone of this process elsewhere. Pure except for that.
 *
 * @param stamp row id in the agents' database, message_id, and time in milliseconds since 1970
 */
export const messageText = (
  { event_id, step }: ScheduledMessage,
  stamp: { readonly id: number; readonly message_id: string; readonly now: number },
): string => {
  const { from, type, round, data, chat, user } = step
  const offsetMs = chat === null ? new Date(stamp.now).getTimezoneOffset() * 60_000 : 0
  const time = formatWithoutZone(stamp.now - offsetMs)
  const timestamp = `${time}000`
  const seconds = time.slice(0, 19)
  const typed = chat === null ? { data, timestamp } : { ...(data as object), timestamp }
  return JSON.stringify({
    id: stamp.id,
    message_id: stamp.message_id,
    event_id,
    user_id: chat === null ? (user?.id ?? null) : from,
    message_from: from,
    round_id: round,
    message_content: user === null ? typed : data,
    message_type: type,
    message_category: chat === null ? 'agent' : 'engineer_chat',
    chat_session_id: chat?.session ?? null,
    sender_type: chat?.sender ?? null,
    // Questions have the whole hash of the summary, answers half of it.
    event_summary_version: (chat?.sender === 'ai' ? chat.summary?.slice(0, 16) : chat?.summary) ?? null,
    created_at: seconds,
    updated_at: seconds,
    ...(user !== null && { user_nickname: user.nickname }),
  })
}
