import type { EnvLayers } from '../platform/env.ts'
import { mergeLayers } from './load-env.ts'
import { describeMisspelling, findMisspellings } from './misspellings.ts'
import { DEEPSOC_SECRET } from './variables.ts'

/** A probable mistake that does not prevent a start. */
export interface ConfigWarning {
  readonly variable: string
  /** The variable that was probably meant. */
  readonly suggestion?: string
  readonly text: string
}

/** The key in DeepSOC's sample.env, which is long enough to be accepted. */
const PUBLIC_SECRET = 'deepsoc_jwt_secret_key_change_in_production'

/** Finds variables that are misspelled, and a key that is public. */
export const findConfigWarnings = (layers: EnvLayers): ConfigWarning[] => {
  const env = mergeLayers(layers)
  return [
    ...findMisspellings(layers).map((misspelling) => ({
      variable: misspelling.name,
      suggestion: misspelling.suggestion,
      text: describeMisspelling(misspelling),
    })),
    ...['JWT_SECRET', DEEPSOC_SECRET]
      .filter((name) => env[name] === PUBLIC_SECRET)
      .map((variable) => ({
        variable,
        text: `${variable} is the key of DeepSOC’s sample.env, which is public: anyone can sign a token. Set a key of your own here and in DeepSOC.`,
      })),
  ]
}
