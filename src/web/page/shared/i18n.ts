import { signal } from './signal.ts'
import { load, save } from './storage.ts'

type Language = 'en' | 'zh'

/** Values for the placeholders of a text, by name. */
export type Values = Readonly<Record<string, string | number>>

const KEPT = 'language'

const first = (): Language => {
  const kept = load(KEPT)
  if (kept === 'en' || kept === 'zh') return kept
  return (navigator.languages?.[0] ?? navigator.language ?? '').toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

/** Language of the page: chosen by the user, else that of the browser. */
export const language = signal<Language>(first())

const applyLanguage = (): void => {
  document.documentElement.lang = language.get() === 'zh' ? 'zh-CN' : 'en'
}
applyLanguage()
// In a task of its own, after the new texts: with other fonts, the whole page is laid out again.
language.subscribe(() => setTimeout(applyLanguage))

export const chooseLanguage = (next: Language): void => {
  save(KEPT, next)
  language.set(next)
}

/** Returns the locale for numbers and times. */
export const locale = (): string =>
  language.get() === 'zh' ? 'zh-CN' : navigator.language?.startsWith('en') ? navigator.language : 'en-GB'

const BRACES = /\{(\w+)(?::([^{}|]*)\|([^{}]*))?\}/g

/**
 * Defines the texts of one part of the page. `{name}` is replaced by a value, with numbers in the format of the locale;
 * `{name:one|many}` by the singular or plural form.
 *
 * @returns a function that returns a text in the current language; it must be called during rendering
 */
export const defineMessages =
  <Key extends string>(texts: Readonly<Record<Language, Readonly<Record<Key, string>>>>) =>
  (key: Key, values: Values = {}): string =>
    texts[language.get()][key].replace(BRACES, (_all, name: string, one?: string, many?: string) => {
      const value = values[name] ?? ''
      if (one !== undefined && many !== undefined) return Number(value) === 1 ? one : many
      return typeof value === 'number' ? value.toLocaleString(locale()) : value
    })

/** Returns the text of a code in the current language, undefined if the table does not have it. */
export const lookUp = (table: Readonly<Record<string, readonly [en: string, zh: string]>>, code: string) =>
  Object.hasOwn(table, code) ? table[code]![language.get() === 'zh' ? 1 : 0] : undefined
