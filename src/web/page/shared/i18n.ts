import { signal } from './signal.ts'
import { load, save } from './storage.ts'

type Language = 'en' | 'zh'

/** What a text may speak of, by the name that stands in it in braces. */
export type Values = Readonly<Record<string, string | number>>

const KEPT = 'language'

const first = (): Language => {
  const kept = load(KEPT)
  if (kept === 'en' || kept === 'zh') return kept
  return (navigator.languages?.[0] ?? navigator.language ?? '').toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

/** The language of the page: the reader's choice, else the browser's. */
export const language = signal<Language>(first())

const applyLanguage = (): void => {
  document.documentElement.lang = language.get() === 'zh' ? 'zh-CN' : 'en'
}
applyLanguage()
language.subscribe(applyLanguage)

export const chooseLanguage = (next: Language): void => {
  save(KEPT, next)
  language.set(next)
}

/** The locale for numbers and times. */
export const locale = (): string =>
  language.get() === 'zh' ? 'zh-CN' : navigator.language?.startsWith('en') ? navigator.language : 'en-GB'

const BRACES = /\{(\w+)(?::([^{}|]*)\|([^{}]*))?\}/g

/**
 * The words of one part of the page. `{name}` in a text stands for a value, numbers as the language writes them;
 * `{name:one|many}` for what a number calls for.
 *
 * @returns gives the text of a key in the language of now: call it while drawing, not before
 */
export const defineMessages =
  <Key extends string>(texts: Readonly<Record<Language, Readonly<Record<Key, string>>>>) =>
  (key: Key, values: Values = {}): string =>
    texts[language.get()][key].replace(BRACES, (_all, name: string, one?: string, many?: string) => {
      const value = values[name] ?? ''
      if (one !== undefined && many !== undefined) return Number(value) === 1 ? one : many
      return typeof value === 'number' ? value.toLocaleString(locale()) : value
    })

/** Returns the text of a code in the language of now, undefined if the table does not have it. */
export const lookUp = (table: Readonly<Record<string, readonly [en: string, zh: string]>>, code: string) =>
  Object.hasOwn(table, code) ? table[code]![language.get() === 'zh' ? 1 : 0] : undefined
