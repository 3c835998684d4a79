import { randomBytes } from 'node:crypto'
import { createUuidV7Generator } from '../../core/uuid.ts'
import type { PublishTarget } from '../gateway-client.ts'
import { sleep } from '../io.ts'
import { openTransport } from '../publish/open-transport.ts'
import type { LineResult, PublishTransport } from '../publish/transport.ts'
import { validateText } from '../publish/validate.ts'
import { messageText, type ScheduledMessage, type ScriptOptions, writeScript } from './script.ts'

export interface PlayOptions extends Omit<ScriptOptions, 'run'>, PublishTarget {
  /** 1 for human speed. */
  readonly speed: number
  /** Starts again when all incidents are closed. */
  readonly loop: boolean
  /** Retry period of one message while broker or gateway is unreachable, in milliseconds. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Called at the start of each run with its events and its number of messages. */
  readonly onBegin: (events: readonly string[], messages: number) => void
  /** Called with the number of messages pushed in this run. */
  readonly onProgress: (done: number) => void
}

const makeId = createUuidV7Generator(randomBytes)

/** Returns a random name for a run. */
export const newRun = (): string => randomBytes(3).toString('hex')

/** Returns a function that assigns number, message_id and time to the messages of a run. */
export const createTimestamper = (now: () => number) => {
  let id = 0
  return () => ({ id: ++id, message_id: makeId(now()), now: now() })
}

export interface PlayResult {
  /** Messages that were published successfully. */
  readonly published: number
  /** The error that ended the demo; null if there was none. */
  readonly fault: Extract<LineResult, { kind: 'failed' }> | null
}

/** Publishes the incidents, paced by `speed`, until all are done, a message fails or the signal aborts. */
export const play = async (options: PlayOptions): Promise<PlayResult> => {
  const played: { published: number; fault: PlayResult['fault'] } = { published: 0, fault: null }
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  const sink = await openTransport({
    ...options,
    onFate: (_parcel, fate) => {
      if (fate.kind === 'published') played.published++
      else if (!options.signal.aborted) {
        played.fault ??= fate
        stop.abort()
      }
    },
  })
  try {
    for (let seed = options.seed; !signal.aborted; seed++) {
      await perform(writeScript({ seed, events: options.events, run: newRun() }), sink, options, signal)
      if (!options.loop) break
    }
    if (!signal.aborted) await sink.finish()
  } finally {
    await sink.close()
  }
  return played
}

const perform = async (
  cues: readonly ScheduledMessage[],
  sink: PublishTransport,
  options: PlayOptions,
  signal: AbortSignal,
): Promise<void> => {
  const events = [...new Set(cues.map(({ event_id }) => event_id))]
  options.onBegin(events, cues.length)
  const stamp = createTimestamper(Date.now)
  const startedAt = performance.now()
  for (const [index, cue] of cues.entries()) {
    const wait = startedAt + cue.at / options.speed - performance.now()
    if (wait > 0) await sleep(wait, signal)
    if (signal.aborted) return
    const checked = validateText(messageText(cue, stamp()), undefined, { now: Date.now, makeId })
    if ('refusal' in checked) throw new Error(`the demo wrote a bad message: ${checked.refusal.detail}`)
    await sink.push({ line: null, message: checked.message })
    options.onProgress(index + 1)
  }
}
