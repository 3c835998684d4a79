import { messageText, type ScheduledMessage, writeScript } from '../../../src/cli/demo/script.ts'
import { tempDir } from '../harness/wait.ts'
import { setTimes } from '../servers/database.ts'
import { startGateway } from '../servers/gateway.ts'
import { publish } from './rooms.ts'
import { openStage, type Stage } from './stage.ts'

/** A run of the demo, entirely or mostly in the past. */
interface Run {
  readonly seed: number
  readonly run: string
  readonly events: number
  /** When it started. */
  readonly minutesAgo: number
  /** Factor by which it was slower than the demo. */
  readonly slower: number
}

const RUNS: readonly Run[] = [
  { seed: 12, run: '5d21b0', events: 2, minutesAgo: 1_705, slower: 3 },
  { seed: 4, run: 'a81c3e', events: 2, minutesAgo: 430, slower: 4 },
  { seed: 31, run: '20fe94', events: 1, minutesAgo: 150, slower: 3 },
  { seed: 6, run: 'c0f47a', events: 3, minutesAgo: 36, slower: 0 },
]
/** Number of messages of the last run that are not published yet. */
const TO_COME = 24

interface Dated {
  readonly event_id: string
  readonly text: string
  readonly at: number
}

/** Invalid messages of agents, which are quarantined. */
const REFUSED = [
  '{"event_id":"web-shell-7c1","message_from":"_executor","message_type":"command_result","message_content":{"data":{"score":NaN}}}',
  '{"message_from":"_manager","message_type":"action_created","message_content":{"data":{"text":"Isolate web-03"}}}',
  '{"event_id":"web-shell-7c1","message_from":"_operator","round_id":"two","message_content":{"data":{"text":"Collect the access log"}}}',
]

const MINUTE_MS = 60_000

let stamped = 0

const toDatedMessages = (cues: readonly ScheduledMessage[], { minutesAgo, slower }: Run): Dated[] => {
  const startedAt = Date.now() - minutesAgo * MINUTE_MS
  // The current run lasts until now.
  const stretch = slower || (minutesAgo * MINUTE_MS) / cues.at(-TO_COME)!.at
  return cues.map((cue) => {
    const at = Math.round(startedAt + cue.at * stretch)
    const id = ++stamped
    const message_id = `0198c0de-0000-7000-8000-${String(id).padStart(12, '0')}`
    return { event_id: cue.event_id, at, text: messageText(cue, { id, message_id, now: at }) }
  })
}

/** The demo as if played since yesterday, in a gateway with RabbitMQ and two workers. */
export interface Scene extends Stage {
  /** The events of the current run, the first one started first. */
  readonly events: readonly string[]
  /** Publishes this many of the remaining messages. */
  goOn(count: number): Promise<void>
}

export const openScene = async (brokerUrl: string): Promise<Scene> => {
  const dataDir = tempDir('gateway-scene-')
  const dated = RUNS.map((run) => toDatedMessages(writeScript(run), run))
  const toCome = dated.at(-1)!.splice(-TO_COME)
  const writer = await startGateway({ dataDir })
  const times = new Map<number, number>()
  for (const { event_id, text, at } of dated.flat()) {
    const [id] = await publish(writer, event_id, text)
    times.set(id!, at)
  }
  await writer.term()
  setTimes(writer.dbFile, times)
  const stage = await openStage(brokerUrl, 'pictures', { env: { WORKERS: '2' }, gateway: { dataDir } })
  await stage.publish(REFUSED)
  await stage.rejected(REFUSED.length)
  const events = [...new Set(dated.at(-1)!.map(({ event_id }) => event_id))]
  return {
    ...stage,
    events,
    goOn: (count) => stage.publish(toCome.splice(0, count).map(({ text }) => text)),
  }
}
