import { escapeLine } from '../../shared/escape-control-chars.ts'
import { count } from '../../shared/format.ts'
import { roomText } from '../messages.ts'
import type { Entry } from '../model/entry.ts'
import { isEverything, type MessageFilter } from '../model/filter.ts'
import { userName } from '../model/user-names.ts'
import { agentName, eventStatusName, roleName, severityName, typeName } from '../role-messages.ts'
import { reportText as t } from './messages.ts'

/** Everything about an event that a report begins with. */
export interface ReportHead {
  readonly eventId: string
  /** Name, severity and status are empty if they are unknown. */
  readonly name: string
  readonly severity: string
  readonly status: string
  /** Number of messages of the event; null if it is unknown. */
  readonly total: number | null
  /** The filter that the messages of the report match. */
  readonly filter: MessageFilter
  /** Address of the war room. */
  readonly url: string
  /** Time of the export in milliseconds since 1970. */
  readonly at: number
}

/** Formats a time with the offset of the browser's zone, so that a report can be read in another one; empty for NaN. */
export const formatTimestamp = (ms: number): string => {
  if (Number.isNaN(ms)) return ''
  const offset = -new Date(ms).getTimezoneOffset()
  const local = new Date(ms + offset * 60_000).toISOString()
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60]
  const zone = [hours, minutes].map((part) => String(part).padStart(2, '0')).join(':')
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${offset < 0 ? '-' : '+'}${zone}`
}

const describeFilter = ({ roles, types, text, from, to, attention }: MessageFilter): string =>
  [
    ...[...roles].map(roleName),
    ...[...types].map((type) => (type === '' ? roomText('noType') : typeName(type))),
    ...(text.trim() === '' ? [] : [`“${escapeLine(text.trim())}”`]),
    ...(attention ? [t('attention')] : []),
    ...(from === null ? [] : [t('since', { time: formatTimestamp(from) })]),
    ...(to === null ? [] : [t('until', { time: formatTimestamp(to) })]),
  ].join(' · ')

const countFact = (shown: number, { total, filter }: ReportHead): string => {
  if (total !== null && shown < total) return t('some', { n: shown, m: total })
  return total === null && isEverything(filter) ? t('older', { n: shown }) : count(shown)
}

/** Returns the title of a report: the name of the event, or else its id. */
export const getReportTitle = ({ name, eventId }: ReportHead): string => escapeLine(name || eventId)

/** Returns the facts below the title, with their labels. */
export const listReportFacts = (
  head: ReportHead,
  entries: readonly Entry[],
): readonly (readonly [string, string])[] => {
  const { eventId, severity, status, filter, url, at } = head
  const period = [entries[0], entries.at(-1)].map((entry) => formatTimestamp(entry?.at ?? Number.NaN))
  const facts: readonly (readonly [string, string])[] = [
    [t('event'), escapeLine(eventId)],
    [t('severity'), severity === '' ? '' : severityName(severity)],
    [t('status'), status === '' ? '' : eventStatusName(status)],
    [t('messages'), countFact(entries.length, head)],
    [t('filter'), describeFilter(filter)],
    [t('period'), period.includes('') ? '' : period.join(' – ')],
    [t('source'), escapeLine(url)],
    [t('made'), formatTimestamp(at)],
  ]
  return facts.filter(([, fact]) => fact !== '')
}

/** Line above a message in a report; each part can be empty. */
interface MessageLine {
  readonly who: string
  readonly name: string
  readonly type: string
  readonly mark: string
}

/** Returns sender, type and severity of a message. */
export const toMessageLine = ({ role, user, type, answer, tone }: Entry): MessageLine => ({
  who: roleName(role),
  name: user === null ? '' : agentName(userName(user)),
  type: type === '' ? '' : typeName(type, answer),
  mark: tone === 'error' || tone === 'warning' ? roomText(tone) : '',
})

/** Yields messages with the heading of the section that they begin: a round, or the messages before the first one. */
export function* withSections(entries: readonly Entry[]): Generator<readonly [section: string | null, entry: Entry]> {
  let round: number | null = null
  let isFirst = true
  for (const entry of entries) {
    const isNew = entry.round !== null && entry.round !== round
    if (isNew) round = entry.round
    yield [isNew ? roomText('round', { n: round! }) : isFirst ? t('messages') : null, entry]
    isFirst = false
  }
}
