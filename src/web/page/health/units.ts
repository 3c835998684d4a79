import { locale } from '../shared/i18n.ts'

const number = (value: number, digits: number): string =>
  value.toLocaleString(locale(), { maximumFractionDigits: digits })

/** Formats a number with about three significant digits. */
export const formatCompact = (value: number): string => number(value, value < 10 ? 2 : value < 100 ? 1 : 0)

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** 12.3 MiB */
export const bytes = (value: number): string => {
  const power = Math.min(BYTES.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10))
  return `${formatCompact(value / 1024 ** power)} ${BYTES[power]!}`
}

/** 12 ms, 3.4 s, 5 min */
export const seconds = (value: number): string => {
  if (value < 1) return `${formatCompact(value * 1_000)} ms`
  if (value < 120) return `${formatCompact(value)} s`
  return value < 7_200 ? `${formatCompact(value / 60)} min` : `${formatCompact(value / 3_600)} h`
}

/** Formats a value; a dash if it is unknown. */
export const formatOptional = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? '–' : format(value)
