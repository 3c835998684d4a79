import { isJsonObject, parseLosslessJson } from '../../shared/lossless-json.ts'

/** Longer texts are not parsed as JSON, since rendering must not block the page. */
const MAX_JSON_CHARACTERS = 200_000
/** Lines that are examined at most. */
const MAX_LINES = 200
const MAX_COLUMNS = 12
const MAX_ROWS = 1_000

/** Returns the object or array whose JSON a text is; undefined for any other text. Pure. */
export const parseJsonText = (text: string): object | undefined => {
  if (text.length > MAX_JSON_CHARACTERS || !/^\s*[[{]/.test(text) || !/[\]}]\s*$/.test(text)) return undefined
  try {
    const value = parseLosslessJson(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

const MARKDOWN = /^ {0,3}(#{1,6} |```|~~~|\|.*\||> |[-*+] |\d{1,3}[.)] )|\*\*[^*\n]+\*\*|\[[^[\]\n]+\]\([^()\n]+\)/m

/** Lines of logs, stack traces, code and the output of commands. */
const PREFORMATTED: readonly RegExp[] = [
  // Time or level of a log line.
  /^\W{0,2}\d{4}[-/]\d\d[-/]\d\d[T ]|^\[?\d\d:\d\d:\d\d|^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d/,
  /^\[?(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)\b/,
  /^\d{1,3}(\.\d{1,3}){3} \S+ \S+ \[/,
  // Stack traces of Python, Java, JavaScript and Go.
  /^Traceback \(most recent call last\)|^\s*File ".*", line \d+|^\s+at \S|^Caused by: |^goroutine \d+/,
  /^[\w.]*(Error|Exception)\b(: |$)/,
  // Code, commands and indented lines.
  /[;{}]\s*$|^(import|from|def|class|function|const|let|var|return|export|package|using) |^#(!|include)|^[$#>] \S/,
  /^(\t| {2,})\S/,
  // Columns.
  /\S {2,}\S.* {2,}\S|\t.*\t/,
]

/** Returns whether the lines of a text have to be shown as they are, in a monospaced font. Pure. */
export const isPreformatted = (text: string): boolean => {
  if (!text.includes('\n') || MARKDOWN.test(text.slice(0, 20_000))) return false
  const lines = text
    .slice(0, 20_000)
    .split('\n', MAX_LINES)
    .filter((line) => line.trim() !== '')
  const matching = lines.filter((line) => PREFORMATTED.some((pattern) => pattern.test(line.slice(0, 500)))).length
  return lines.length > 1 && matching * 2 >= lines.length
}

/** A line that begins or ends a code block; one with a language begins it. */
const FENCE = /^[ \t>]*(?:(?:[-*+] |\d+[.)] )[ \t]*)?(`{3,}|~{3,})(.*)$/gm

/** Returns where a beginning of Markdown has to end so that no code block is cut: code is folded and copied by itself. Pure. */
export const endOfCode = (text: string, end: number): number => {
  let open = ''
  for (const { 0: line, 1: fence = '', 2: language = '', index } of text.matchAll(FENCE)) {
    if (open === '' && index >= end) return end
    if (open === '') open = fence
    else if (fence.startsWith(open) && language.trim() === '') {
      open = ''
      if (index + line.length >= end) return index + line.length
    }
  }
  return open === '' ? end : text.length
}

/** Returns the columns of an array of objects with like keys; null for any other value. Pure. */
export const findColumns = (value: unknown): readonly string[] | null => {
  if (!Array.isArray(value) || value.length < 2 || value.length > MAX_ROWS || !value.every(isJsonObject)) return null
  const columns = new Set<string>()
  for (const row of value) {
    for (const key of Object.keys(row)) columns.add(key)
    if (columns.size > MAX_COLUMNS) return null
  }
  const isLike = value.every((row) => Object.keys(row).length * 2 >= columns.size)
  return columns.size >= 2 && isLike ? [...columns] : null
}
