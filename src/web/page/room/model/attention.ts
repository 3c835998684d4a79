import type { Caller } from '../../caller.ts'
import type { Entry } from './entry.ts'

/** Why a message needs the attention of people. */
export type AttentionReason = 'error' | 'warning' | 'completed' | 'mention'

/** The user of the page, for messages that name it. */
export interface Me {
  /** Author of its own messages, as getAuthor returns it. */
  readonly userId: string
  /** Names that count as a mention. */
  readonly names: readonly string[]
}

export const NOBODY: Me = { userId: '', names: [] }

/** Digits and single characters are in too many messages to be a mention. */
const isTelling = (name: string): boolean => name.length > 1 && !/^\d+$/.test(name)

/** @param typedName the name under which a caller writes whose token has none */
export const getPageUser = ({ sub, name }: Pick<Caller, 'sub' | 'name'>, typedName: string): Me => {
  const names = (sub === null ? [typedName] : [name ?? '', sub]).map((one) => one.trim())
  return { userId: sub ?? (typedName.trim() || 'web'), names: [...new Set(names)].filter(isTelling) }
}

const COMPLETED = new Set(['completed', 'resolved'])

const EDGE = '[^\\p{L}\\p{N}_]|\\p{Script=Han}'

/**
 * Returns the pattern of a name as a word of its own. Chinese has no blanks between words, so a Chinese character ends
 * the name before it, and a Chinese name is found within other characters. Without lookbehind, for Safari before 16.4.
 */
const toWordPattern = (name: string): string => {
  const literal = name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  const isHan = (char: string): boolean => /\p{Script=Han}/u.test(char)
  const [before, after] = [isHan(name.at(0)!), isHan(name.at(-1)!)]
  return `${before ? '' : `(?:^|${EDGE})`}${literal}${after ? '' : `(?:$|${EDGE})`}`
}

/** The forms of a name in JSON text, in lower case: as it is, and with all other characters than ASCII escaped. */
const jsonForms = (name: string): readonly string[] => {
  const text = JSON.stringify(name).slice(1, -1).toLowerCase()
  const escaped = text.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return [text, escaped]
}

function* textsIn(value: unknown): Generator<string> {
  const left = [value]
  while (left.length > 0) {
    const next = left.pop()
    if (typeof next === 'string') yield next
    else if (typeof next === 'object' && next !== null) for (const inner of Object.values(next)) left.push(inner)
  }
}

/** Returns a function that returns whether a message of somebody else names the user. */
const compileMention = ({ userId, names }: Me): ((entry: Entry) => boolean) => {
  if (names.length === 0) return () => false
  const forms = names.flatMap(jsonForms)
  const pattern = new RegExp(names.map(toWordPattern).join('|'), 'iu')
  return ({ raw, user }) => {
    if (user !== null && user.userId === userId) return false
    // Cheap, so that few messages have to be parsed.
    const text = raw.toLowerCase()
    if (!forms.some((form) => text.includes(form))) return false
    const message = JSON.parse(raw) as Readonly<Record<string, unknown>>
    for (const one of textsIn(message.message_content ?? message.content)) if (pattern.test(one)) return true
    return false
  }
}

/** Returns a function that returns why a message needs attention, null if it does not. Pure. */
export const compileAttention = (me: Me): ((entry: Entry) => AttentionReason | null) => {
  const isMention = compileMention(me)
  return (entry) => {
    const { tone, facts } = entry
    if (tone === 'error' || tone === 'warning') return tone
    if (facts !== null && COMPLETED.has(facts.status)) return 'completed'
    return isMention(entry) ? 'mention' : null
  }
}
