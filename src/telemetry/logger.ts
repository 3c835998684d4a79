import pino, { type Logger, type LoggerOptions } from 'pino'
import { errorChainText } from '../core/error-text.ts'

// Control characters, the line ends of Unicode, and marks that turn the direction of writing.
const CONTROL_CHARACTERS = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** A text from outside as one line that shows what it is: it can neither end a line of the log nor begin another. */
const escapeLine = (text: string): string =>
  text.replace(CONTROL_CHARACTERS, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)

const sanitize = (value: unknown, depth = 0): unknown => {
  if (typeof value === 'string') return escapeLine(value)
  if (value instanceof Error) return errorLine(value)
  if (typeof value !== 'object' || value === null || depth > 4) return value
  if (Array.isArray(value)) return value.map((item) => sanitize(item, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [escapeLine(key), sanitize(item, depth + 1)]))
}

/** Of a stack only the frames are kept: its first lines repeat the message, as it came. */
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

/** JSON lines on stdout; readable ones when stdout is a terminal. What comes from outside cannot forge a line. */
export const createLogger = async (level: string): Promise<Logger> => {
  const base: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => sanitize(error) },
    formatters: {
      // A word is what one looks for in a log.
      level: (label) => ({ level: label }),
      log: (fields) => sanitize(fields) as Record<string, unknown>,
    },
    hooks: {
      logMethod(args, method) {
        method.apply(this, args.map((arg) => (typeof arg === 'string' ? escapeLine(arg) : arg)) as typeof args)
      },
    },
  }
  if (!process.stdout.isTTY) return pino(base, pino.destination({ fd: 1, sync: true }))
  // In this thread: pino's own way would start one from a file of its package, which the single executable has not.
  const { default: pretty } = await import('pino-pretty')
  return pino(base, pretty({ ignore: 'pid,hostname', translateTime: 'HH:MM:ss', sync: true }))
}
