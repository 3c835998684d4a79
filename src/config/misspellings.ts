import { isWithinOneEdit } from '../core/similar-name.ts'
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
