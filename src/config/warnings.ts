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

/** Keys of samples that are long enough to be accepted, and where they stand. */
const PUBLIC_SECRETS = new Map([
  ['deepsoc_jwt_secret_key_change_in_production', 'DeepSOC’s sample.env'],
  ['change-me-to-the-output-of-openssl-rand-base64-48', 'an earlier deploy/kubernetes.yaml'],
])

/** Finds variables that are misspelled, and a key that is public. */
export const findConfigWarnings = (layers: EnvLayers): ConfigWarning[] => {
  const env = mergeLayers(layers)
  return [
    ...findMisspellings(layers).map((misspelling) => ({
      variable: misspelling.name,
      suggestion: misspelling.suggestion,
      text: describeMisspelling(misspelling),
    })),
    ...['JWT_SECRET', DEEPSOC_SECRET].flatMap((variable) => {
      const sample = PUBLIC_SECRETS.get(env[variable] ?? '')
      if (sample === undefined) return []
      const text = `${variable} is the key of ${sample}, which is public: anyone can sign a token. Set a key of your own here and where the tokens are signed, such as in DeepSOC.`
      return [{ variable, text }]
    }),
  ]
}
