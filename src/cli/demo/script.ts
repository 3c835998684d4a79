import { Incident, type ScriptStep } from './incident.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { SeededRandom } from './seeded-random.ts'

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
    for (const beat of new Incident(scenario, event_id, random).write()) {
      at += beat.pause
      messages.push({ at, event_id, step: beat })
    }
    startsAt += random.integer(...STAGGER)
  }
  // The sort is stable, so messages with the same time keep their order.
  return messages.sort((a, b) => a.at - b.at)
}

/** ISO 8601 without a time zone, as DeepSOC writes times. */
const formatWithoutZone = (ms: number): string => new Date(ms).toISOString().slice(0, -1)

/**
 * Serializes a message as DeepSOC's agents publish it, with the same fourteen keys in the same order. Pure.
 *
 * @param stamp row id in the agents' database, message_id, and time in milliseconds since 1970
 */
export const messageText = (
  { event_id, step }: ScheduledMessage,
  stamp: { readonly id: number; readonly message_id: string; readonly now: number },
): string => {
  const { from, type, round, data, addChat } = step
  const timestamp = `${formatWithoutZone(stamp.now)}000`
  const seconds = formatWithoutZone(stamp.now).slice(0, 19)
  const content =
    addChat === null ? { data, timestamp } : addChat === 'user' ? data : { ...(data as object), timestamp }
  return JSON.stringify({
    id: stamp.id,
    message_id: stamp.message_id,
    event_id,
    user_id: addChat === null || addChat === 'system' ? null : from,
    message_from: from,
    round_id: round,
    message_content: content,
    message_type: type,
    message_category: addChat === null ? 'agent' : 'engineer_chat',
    chat_session_id: addChat === null ? null : `chat_${event_id}`,
    sender_type: addChat,
    event_summary_version: null,
    created_at: seconds,
    updated_at: seconds,
  })
}
