export type Rule = 'fixed wait' | 'upper limit' | 'bare limit'

export type Finding = { readonly rule: Rule; readonly line: number; readonly text: string }

/** Shorter waits only yield to other work; their exact length is irrelevant. */
const MIN_WAIT_MS = 100
/** Shorter limits are settings of the tested code. */
const MIN_LIMIT_MS = 5_000

const parseNumber = (text: string): number => Number(text.replaceAll('_', '').trim())

/** True if a duration is long, or unknown from the text. */
const isLong = (text: string, min: number): boolean => !(parseNumber(text) < min)

const WAITS = [
  /(?<![.\w])(?:sleep|delay)\((.+?)\)(?:$|[\s;,)])/,
  /\bsetTimeout\(\s*(?!reject\b)[a-z]\w*\s*,\s*([^,)]+)/,
  /\bwaitForTimeout\((.+)\)/,
]
const CLOCK_LOOPS = /\b(?:until|while)\s*\(.*\b(?:Date|performance)\.now\(\)/

const UPPER_LIMIT = /\bassert\.ok\((?=[^`'"]*?(?:\bnow\(\)|\b(?:ms|took|times|work)\b|Ms\b))[^`'"]*?<=?\s*[\w(]/

const LIMITS = [
  /\b(?:timeout|\w*[tT]imeoutMs|connectionTimeoutMillis)\s*[:=]\s*([\d_]+)\b/,
  /\b(?:AbortSignal\.timeout|setDefaultTimeout|setDefaultNavigationTimeout)\(\s*([\d_]+)/,
  /\bsetTimeout\(.*(?:reject|destroy|kill).*,\s*([\d_]+)\s*[,)]/,
  /\bwithin\(.*,\s*([\d_]+)\)/,
]

const findBrokenRule = (text: string): Rule | undefined => {
  if (UPPER_LIMIT.test(text)) return 'upper limit'
  if (LIMITS.some((pattern) => isLong(pattern.exec(text)?.[1] ?? '0', MIN_LIMIT_MS))) return 'bare limit'
  if (CLOCK_LOOPS.test(text)) return 'fixed wait'
  if (WAITS.some((pattern) => isLong(pattern.exec(text)?.[1] ?? '0', MIN_WAIT_MS))) return 'fixed wait'
  return undefined
}

/** Returns the lines of a test that make it depend on the speed of the machine. */
export const findTiming = (source: string): Finding[] =>
  source.split('\n').flatMap((text, index) => {
    const rule = /^\s*(?:\/\/|\*|\/\*)/.test(text) ? undefined : findBrokenRule(text)
    return rule === undefined ? [] : [{ rule, line: index + 1, text: text.trim() }]
  })
