import { signal } from './signal.ts'
import { load, save } from './storage.ts'

export type Theme = 'system' | 'light' | 'dark'

const KEPT = 'theme'
const ORDER: readonly Theme[] = ['system', 'light', 'dark']

/** Theme chosen by the user; `system` follows the browser. */
export const theme = signal<Theme>(ORDER.find((one) => one === load(KEPT)) ?? 'system')

const dark = matchMedia('(prefers-color-scheme: dark)')

const schemeNow = (): 'light' | 'dark' => {
  const chosen = theme.get()
  return chosen === 'system' ? (dark.matches ? 'dark' : 'light') : chosen
}

/** The effective scheme, for canvases, to which CSS variables do not apply. */
export const scheme = signal(schemeNow())

const apply = (): void => {
  document.documentElement.dataset.theme = theme.get()
  scheme.set(schemeNow())
}

export const startTheme = (): void => {
  apply()
  theme.subscribe(apply)
  dark.addEventListener('change', apply)
}

/** Switches to the next theme: system, light, dark. */
export const nextTheme = (): void => {
  const next = ORDER[(ORDER.indexOf(theme.get()) + 1) % ORDER.length]!
  save(KEPT, next === 'system' ? null : next)
  theme.set(next)
}
