import pino, { type Logger, type LoggerOptions } from 'pino'
import { errorChainText } from '../core/error-text.ts'
import { noop } from '../core/noop.ts'

// Control characters, line separators of Unicode, and characters that change the direction of text.
const CONTROL_CHARACTERS = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** Escapes untrusted text, so that it can neither end a line of the log nor start another one. */
const escapeLine = (text: string): string =>
  text.replace(CONTROL_CHARACTERS, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)

const sanitize = (value: unknown, depth = 0): unknown => {
  if (typeof value === 'string') return escapeLine(value)
  if (value instanceof Error) return errorLine(value)
  if (typeof value !== 'object' || value === null || depth > 4) return value
  if (Array.isArray(value)) return value.map((item) => sanitize(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [escapeLine(key), sanitize(item, depth + 1)]))
}

/** Converts an error to fields. Only the frames of the stack are kept, since its first lines repeat the message without escaping. */
const errorLine = (error: Error) => ({
  type: error.name,
  code: (error as { code?: unknown }).code,
  message: escapeLine(errorChainText(error)),
  stack: (error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map(escapeLine)
    .join('\n'),
})

/** Maximum lines that are kept until they can be written, for example after a full disk, in bytes. */
const MAX_UNWRITTEN_BYTES = 1_048_576

/** Opens stdout. Lines that cannot be written are kept or dropped: a log on a full disk must not stop the gateway. */
const openStdout = () => {
  const stdout = pino.destination({ fd: 1, sync: true, minLength: 1, maxLength: MAX_UNWRITTEN_BYTES })
  stdout.on('error', noop)
  // Otherwise a full buffer would never be written. `flush` needs a minLength; flushSync would repeat a failed write for ever.
  stdout.on('drop', () => stdout.flush())
  return stdout
}

/** Creates a logger that writes JSON lines to stdout, or readable lines if stdout is a terminal. Untrusted text cannot forge a line. */
export const createLogger = async (level: string): Promise<Logger> => {
  const base: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => sanitize(error) },
    formatters: {
      // As a word, since operators search logs for words.
      level: (label) => ({ level: label }),
      log: (fields) => sanitize(fields) as Record<string, unknown>,
    },
    hooks: {
      logMethod(args, method) {
        method.apply(this, args.map((arg) => (typeof arg === 'string' ? escapeLine(arg) : arg)) as typeof args)
      },
    },
  }
  if (!process.stdout.isTTY) return pino(base, openStdout())
  // In this thread: pino would start a worker thread from a file of its package, which the single executable does not have.
  const { default: pretty } = await import('pino-pretty')
  return pino(base, pretty({ ignore: 'pid,hostname', translateTime: 'HH:MM:ss', destination: openStdout() }))
}
