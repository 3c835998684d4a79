import { locale } from './i18n.ts'

const formats = new Map<string, Intl.DateTimeFormat>()

const getDateFormat = (name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => {
  const key = `${name} ${locale()}`
  const kept = formats.get(key)
  if (kept !== undefined) return kept
  const made = new Intl.DateTimeFormat(locale(), options)
  formats.set(key, made)
  return made
}

/** 14:05:09 */
export const clockTime = (ms: number): string =>
  getDateFormat('clock', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(ms)

/** 14:05 */
export const clockMinute = (ms: number): string =>
  getDateFormat('minute', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(ms)

/** 22 Nov */
export const shortDay = (ms: number): string => getDateFormat('day', { day: 'numeric', month: 'short' }).format(ms)

/** 22 Nov, 14:05 */
export const shortTime = (ms: number): string =>
  getDateFormat('short', {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(ms)

/** Full date and time. */
export const fullTime = (ms: number): string =>
  getDateFormat('full', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' }).format(ms)

const STEPS = [
  ['second', 60],
  ['minute', 60],
  ['hour', 24],
  ['day', 1e9],
] as const

/** Relative time in the language of the page. */
export const ago = (ms: number, now: number): string => {
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto', style: 'narrow' })
  let left = Math.min(0, Math.round((ms - now) / 1000))
  for (const [unit, max] of STEPS) {
    if (Math.abs(left) < max) return relative.format(left, unit)
    left = Math.round(left / max)
  }
  return relative.format(left, 'day')
}

/** 1,234 */
export const count = (n: number): string => n.toLocaleString(locale())
