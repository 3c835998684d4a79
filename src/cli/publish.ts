import { randomBytes } from 'node:crypto'
import { fstatSync } from 'node:fs'
import { loadConfig } from '../config/config.ts'
import { ERRORS, type ErrorCode, GatewayError } from '../core/errors.ts'
import { decodeUtf8, type ValidationError } from '../core/message.ts'
import { createUuidV7Generator } from '../core/uuid.ts'
import { type CliCommand, EXIT, type ParsedArgs, UsageError } from './command.ts'
import { resolvePublishTarget, URL_FLAG } from './gateway-client.ts'
import type { CommandIo } from './io.ts'
import { requireNoPositionals } from './positionals.ts'
import { readLines } from './publish/lines.ts'
import { openTransport } from './publish/open-transport.ts'
import type { LineResult, OutgoingLine } from './publish/transport.ts'
import { buildMessage, type IdSource, validateLine, validateText } from './publish/validate.ts'
import { escapeForTerminal, visibleJson } from './terminal/escape.ts'
import { TOKEN_FILE_FLAG } from './token/source.ts'

const DEFAULT_TIMEOUT_SECONDS = 30

const SOURCE: IdSource = { now: Date.now, makeId: createUuidV7Generator(randomBytes) }

/** `publish`: one message from flags, or many as JSON lines from stdin. */
export const publish: CliCommand = {
  name: 'publish',
  summary: 'publish a message, or JSON lines from stdin, each confirmed',
  usage: ['--event ID [--from NAME] [--type TYPE] [--content TEXT] [flags]', '[--event ID] [flags] < messages.jsonl'],
  about: `Publishes through RabbitMQ if RABBITMQ_URL or RABBITMQ_HOST is set, else over HTTP to the gateway; with --url
always over HTTP. Prints a JSON line for each message, with message_id, and with db_id if it is known. A line of stdin
is published as exactly that text, digit for digit. An invalid line is reported with its number, the rest is
published, and the exit code is 1. Give your messages a message_id: then the same file can be published again and
nothing is stored twice.`,
  finishesUnread: true,
  flags: {
    event: { value: 'ID', description: 'event_id; with stdin: default for lines without one' },
    from: { value: 'NAME', description: 'message_from' },
    type: { value: 'TYPE', description: 'message_type' },
    content: {
      value: 'TEXT',
      description: 'message_content: a JSON object, array or string; anything else is text; - reads it from stdin',
    },
    round: { value: 'N', description: 'round_id' },
    id: { value: 'ID', description: 'message_id (default: generated)' },
    timeout: {
      value: 'SECONDS',
      description: `how long to retry while broker or gateway is unreachable (default: ${DEFAULT_TIMEOUT_SECONDS})`,
    },
    url: URL_FLAG,
    'token-file': TOKEN_FILE_FLAG,
  },
  examples: [
    ['deepsoc-gateway publish --event incident-17 --from me --type chat --content hello', 'Publish one message'],
    [
      `deepsoc-gateway publish --event incident-17 --type command_result --content '{"status":"ok"}'`,
      'Publish a message with JSON content',
    ],
    ['df -h | deepsoc-gateway publish --event incident-17 --type chat --content -', 'Publish the output of a command'],
    ['deepsoc-gateway publish < messages.jsonl > ids.jsonl', 'Publish a file and save the ids'],
  ],
  run: async (args, io) => {
    requireNoPositionals(args)
    let text = buildMessage(args)
    if (args.text('content') === '-') text = buildMessage(args, await readContent(io))
    if (text === null && io.in.isTTY) {
      throw new UsageError('nothing to publish: use --content and other flags, or pass JSON lines on stdin')
    }
    const run = new PublishRun(io)
    const timeoutMs = (args.positive('timeout') ?? DEFAULT_TIMEOUT_SECONDS) * 1_000
    const target = await resolvePublishTarget(args)
    const transport = await openTransport({ ...target, timeoutMs, onResult: run.onResult, signal: io.signal })
    try {
      if (text === null) await run.publishLines(args, (line) => transport.send(line))
      else await run.publishOne(text, (line) => transport.send(line))
      await transport.finish()
    } finally {
      await transport.close()
    }
    return run.finish()
  },
}

/** Reads stdin to its end; a line break there is removed. @throws GatewayError body_too_large, invalid_utf8 */
const readContent = async ({ in: input, signal }: CommandIo): Promise<string> => {
  const { maxMessageBytes } = loadConfig()
  const chunks: Buffer[] = []
  let size = 0
  const stop = () => input.destroy()
  signal.addEventListener('abort', stop)
  for await (const chunk of input as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxMessageBytes) {
      throw new GatewayError('body_too_large', `The content has more than ${maxMessageBytes} bytes.`)
    }
  }
  const text = decodeUtf8(Buffer.concat(chunks))
  if (typeof text !== 'string') throw new GatewayError(text.error.reason as ErrorCode, text.error.detail)
  return text.replace(/\r?\n$/, '')
}

type SendLine = (line: OutgoingLine) => Promise<void>

/** One run of the command: reads the input, counts and prints the results. */
class PublishRun {
  readonly #io: CommandIo
  #published = 0
  #failed = 0
  /** The first line that failed because broker or gateway was unreachable; 0 without stdin, null if there is none. */
  #stoppedAt: number | null = null
  /** Fraction of the input that was read, from 0 to 1; null if its size is unknown. */
  #share: number | null = null
  #fromStdin = false

  constructor(io: CommandIo) {
    this.#io = io
  }

  async publishOne(text: string, send: SendLine): Promise<void> {
    const validated = validateText(text, undefined, SOURCE)
    if ('error' in validated) this.#reportInvalid(null, validated.error)
    else await send({ line: null, message: validated.message })
  }

  async publishLines(args: ParsedArgs, send: SendLine): Promise<void> {
    this.#fromStdin = true
    const { signal } = this.#io
    const event_id = args.text('event')
    const { maxMessageBytes } = loadConfig()
    const total = stdinSize()
    const input = this.#io.in as AsyncIterable<Buffer>
    const stop = () => this.#io.in.destroy()
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    try {
      for await (const line of readLines(input, maxMessageBytes)) {
        if (signal.aborted || this.#stoppedAt !== null) break
        this.#share = total === null ? null : line.end / total
        if ('tooLong' in line) {
          const detail = `${line.tooLong} bytes, ${maxMessageBytes} are allowed.`
          this.#reportInvalid(line.number, { reason: 'body_too_large', detail })
          continue
        }
        const validated = validateLine(line.bytes, event_id, SOURCE)
        if (validated === null) continue
        if ('error' in validated) this.#reportInvalid(line.number, validated.error)
        else await send({ line: line.number, message: validated.message })
      }
    } catch (error) {
      // After our own abort, a read error is expected.
      if (!signal.aborted && this.#stoppedAt === null) throw error
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  readonly onResult = async ({ line, message }: OutgoingLine, result: LineResult): Promise<void> => {
    if (result.kind === 'failed') {
      // Report the cause once; the messages after it fail for the same reason.
      if (this.#stoppedAt === null) this.#report(line, result.code, result.text, result.hint)
      else this.#failed++
      if (result.isTransportError) this.#stop(line ?? 0)
      return
    }
    this.#published++
    const { kind: _, ...fields } = result
    const output = JSON.stringify({ ...(line !== null && { line }), message_id: message.message_id, ...fields })
    const { out, progress } = this.#io
    if (out.isTerminal) progress.clear()
    await out.write(`${out.isTerminal ? visibleJson(output) : output}\n`)
    this.#show()
  }

  finish(): number {
    const { note, err, signal, progress } = this.#io
    progress.clear()
    const failed = this.#failed > 0 || signal.aborted
    if (this.#fromStdin && (failed || err.isTerminal)) {
      const stopped = this.#stoppedAt === null ? '' : `; stopped, publish again from line ${this.#stoppedAt} on`
      note(`${this.#published} published, ${this.#failed} failed${stopped}${signal.aborted ? '; interrupted' : ''}.`)
    }
    return failed ? EXIT.failure : EXIT.ok
  }

  /** Stops reading: the following lines would fail too. */
  #stop(line: number): void {
    if (this.#stoppedAt !== null) return
    this.#stoppedAt = line
    if (this.#fromStdin) this.#io.in.destroy()
  }

  #reportInvalid(line: number | null, { reason, detail }: ValidationError): void {
    this.#report(line, reason, detail, ERRORS[reason as ErrorCode].hint)
  }

  #report(line: number | null, code: string, text: string, hint: string): void {
    this.#failed++
    this.#io.note(`${line === null ? '' : `line ${line}: `}${code}: ${escapeForTerminal(`${text} ${hint}`)}`)
    this.#show()
  }

  #show(): void {
    const done = this.#published + this.#failed
    if (this.#fromStdin) {
      this.#io.progress.show({ label: 'publishing', done, total: null, share: this.#share, failed: this.#failed })
    }
  }
}

/** Returns the size of stdin in bytes if it is a file, else null. */
const stdinSize = (): number | null => {
  const stat = fstatSync(0)
  return stat.isFile() && stat.size > 0 ? stat.size : null
}
