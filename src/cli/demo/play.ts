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
  readonly onStart: (events: readonly string[], messages: number) => void
  /** Called with the number of messages sent in this run. */
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
  readonly error: Extract<LineResult, { kind: 'failed' }> | null
}

/** Publishes the incidents, paced by `speed`, until all are done, a message fails or the signal aborts. */
export const play = async (options: PlayOptions): Promise<PlayResult> => {
  const result: { published: number; error: PlayResult['error'] } = { published: 0, error: null }
  const controller = new AbortController()
  const signal = AbortSignal.any([options.signal, controller.signal])
  const transport = await openTransport({
    ...options,
    onResult: (_line, lineResult) => {
      if (lineResult.kind === 'published') result.published++
      else if (!options.signal.aborted) {
        result.error ??= lineResult
        controller.abort()
      }
    },
  })
  try {
    for (let seed = options.seed; !signal.aborted; seed++) {
      await runScript(writeScript({ seed, events: options.events, run: newRun() }), transport, options, signal)
      if (!options.loop) break
    }
    if (!signal.aborted) await transport.finish()
  } finally {
    await transport.close()
  }
  return result
}

const runScript = async (
  messages: readonly ScheduledMessage[],
  transport: PublishTransport,
  options: PlayOptions,
  signal: AbortSignal,
): Promise<void> => {
  const events = [...new Set(messages.map(({ event_id }) => event_id))]
  options.onStart(events, messages.length)
  const stamp = createTimestamper(Date.now)
  const startedAt = performance.now()
  for (const [index, message] of messages.entries()) {
    const delayMs = startedAt + message.at / options.speed - performance.now()
    if (delayMs > 0) await sleep(delayMs, signal)
    if (signal.aborted) return
    const validated = validateText(messageText(message, stamp()), undefined, { now: Date.now, makeId })
    if ('error' in validated) throw new Error(`the demo wrote a bad message: ${validated.error.detail}`)
    await transport.send({ line: null, message: validated.message })
    options.onProgress(index + 1)
  }
}
