import type { EnvLayers } from '../platform/env.ts'
import type { ConfigVariable } from './variable.ts'
import { CONFIG_VARIABLES, DEEPSOC_SECRET } from './variables.ts'

/**
 * Shorter names (HOST, PORT, NATIVE_MODULE_DIR) resemble variables of other software, such as HOSTS, SORT or
 * CCACHE_DIR.
 */
const MIN_LENGTH = 10

const KNOWN_NAMES = new Set([
  DEEPSOC_SECRET,
  ...Object.entries<ConfigVariable>(CONFIG_VARIABLES).flatMap(([name, { secret }]) =>
    secret ? [name, `${name}_FILE`] : [name],
  ),
])

/** A variable that is not one of the gateway's, and the one that was probably meant. */
export interface Misspelling {
  readonly name: string
  readonly suggestion: string
}

/** True if the texts are equal or differ by one inserted, deleted, substituted or transposed character. */
const isWithinOneEdit = (a: string, b: string): boolean => {
  let start = 0
  while (start < a.length && a[start] === b[start]) start++
  let end = 0
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++
  const [left, right] = [a.slice(start, a.length - end), b.slice(start, b.length - end)]
  if (left.length <= 1 && right.length <= 1) return true
  return left.length === 2 && right.length === 2 && left[0] === right[1] && left[1] === right[0]
}

/**
 * Finds variables that are set and, ignoring case, one edit away from one of the gateway's. Gateway names of fewer than
 * ten characters are only matched in `.env`, which is written for the gateway.
 */
export const findMisspellings = ({ processEnv, dotEnv }: EnvLayers): Misspelling[] => {
  const isSet = ([name, value]: [string, string | undefined]) => value && /^[\w.-]+$/.test(name)
  return Object.entries({ ...dotEnv, ...processEnv })
    .filter((entry) => isSet(entry) && !KNOWN_NAMES.has(entry[0]))
    .flatMap(([name]) => {
      const suggestion = [...KNOWN_NAMES].find(
        (knownName) =>
          isWithinOneEdit(name.toUpperCase(), knownName) &&
          (knownName.length >= MIN_LENGTH || Object.hasOwn(dotEnv, name)),
      )
      return suggestion === undefined ? [] : [{ name, suggestion }]
    })
}

export const describeMisspelling = ({ name, suggestion }: Misspelling): string =>
  `${name} is not a variable of the gateway; did you mean ${suggestion}?`
