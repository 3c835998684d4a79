import { readFileSync } from 'node:fs'
import { errorChainText } from '../core/error-text.ts'
import { GatewayError } from '../core/errors.ts'
import type { Env } from '../platform/env.ts'
import { describeMisspelling, findMisspellings } from './misspellings.ts'
import { ConfigValueError } from './parsers.ts'
import { redactUrl } from './redact.ts'
import type { ConfigVariable } from './variable.ts'
import {
  CONFIG_VARIABLES,
  type ConfigValues,
  DEEPSOC_SECRET,
  KEY_VARIABLES,
  VARIABLE_NAMES,
  type VariableName,
} from './variables.ts'

/** The variables, each parsed separately. Rules that involve several variables are not checked yet. */
export interface RawConfig<N extends VariableName = VariableName> {
  /** A value is null if not set and without a default, and absent if invalid. */
  readonly values: Partial<Pick<ConfigValues, N>>
  /** Texts of the values, defaults included. */
  readonly texts: ReadonlyMap<VariableName, string>
  /** The variables that are set, with the name in the environment that has the value: NAME, NAME_FILE or DEEPSOC_SECRET. */
  readonly sources: ReadonlyMap<VariableName, string>
  /** One sentence per problem. */
  readonly problems: string[]
}

/** Variables of version 0.1, with their new names. */
const RENAMED: Readonly<Record<string, VariableName>> = {
  HEADERS_SECONDS: 'HEADERS_TIMEOUT_SECONDS',
  REQUEST_SECONDS: 'REQUEST_TIMEOUT_SECONDS',
  DATABASE_CONNECTIONS: 'DATABASE_POOL_SIZE',
  CACHE_DIR: 'NATIVE_MODULE_DIR',
}

const KEY_NAMES = KEY_VARIABLES.flatMap((name) => [name, `${name}_FILE`])

/** Reads these variables, by default all of them. Empty text counts as not set. */
export const readRawConfig = <N extends VariableName = VariableName>(
  env: Env,
  names: readonly N[] = VARIABLE_NAMES as readonly N[],
): RawConfig<N> => {
  const values: Partial<Record<VariableName, unknown>> = {}
  const texts = new Map<VariableName, string>()
  const sources = new Map<VariableName, string>()
  const problems: string[] = []

  const readText = (name: VariableName, variable: ConfigVariable): string | null => {
    const own = env[name]
    const file = variable.secret ? env[`${name}_FILE`] : undefined
    if (own) {
      if (file) problems.push(`${name} and ${name}_FILE are both set; keep one, and leave the other empty.`)
      sources.set(name, name)
      return own
    }
    if (!file) {
      const deepsocSecret = env[DEEPSOC_SECRET]
      if (name !== 'JWT_SECRET' || !deepsocSecret || KEY_NAMES.some((key) => env[key])) return variable.default
      sources.set(name, DEEPSOC_SECRET)
      return deepsocSecret
    }
    sources.set(name, `${name}_FILE`)
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  }

  const readVariable = (name: VariableName): void => {
    const variable: ConfigVariable = CONFIG_VARIABLES[name]
    let text: string | null
    try {
      text = readText(name, variable)
    } catch (error) {
      // Omit the path: it may be the secret itself, set by mistake.
      problems.push(`${name}_FILE cannot be read: ${errorChainText(error).replace(/, \w+ '.*$/s, '')}`)
      return
    }
    if (text === null) {
      values[name] = null
      return
    }
    texts.set(name, text)
    try {
      const { success, data } = variable.schema.safeParse(text)
      if (success) values[name] = data
      else {
        const suffix = variable.secret ? '' : `, not ${JSON.stringify(redactUrl(text))}`
        problems.push(`${name} must be ${variable.constraint}${suffix}.`)
      }
    } catch (error) {
      if (!(error instanceof ConfigValueError)) throw error
      const shownName = sources.get(name) === DEEPSOC_SECRET ? DEEPSOC_SECRET : name
      problems.push(`${shownName} ${error.message}`)
    }
  }

  for (const name of names) readVariable(name)
  for (const [previousName, name] of Object.entries(RENAMED)) {
    if (env[previousName] && names.some((variableName) => variableName === name))
      problems.push(`${previousName} was renamed: set ${name} instead.`)
  }
  // The assertion holds because each value was parsed by the schema of the same name.
  return { values: values as Partial<Pick<ConfigValues, N>>, texts, sources, problems }
}

/** Returns the variables that are set, with the contents of secret files: a process that gets them reads neither `.env` nor these files. */
export const resolveSettings = ({ texts, sources }: Pick<RawConfig, 'texts' | 'sources'>): Env =>
  Object.fromEntries([...sources.keys()].map((name) => [name, texts.get(name)]))

/** @throws GatewayError config_invalid, whose message lists all problems, one per line */
export const requireValid = <N extends VariableName>({ values, problems }: RawConfig<N>, env: Env) => {
  if (problems.length > 0) {
    // Report misspelled names, which are often the cause: JWT_SECRETT leaves the gateway without a key.
    const warnings = findMisspellings({ processEnv: env, dotEnv: {} }).map(describeMisspelling)
    throw new GatewayError('config_invalid', [...problems, ...warnings].join('\n'))
  }
  // Without problems, every value is present.
  return values as Pick<ConfigValues, N>
}
