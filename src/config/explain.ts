import { type EnvLayers, readEnvLayers } from '../platform/env.ts'
import { effectiveAuth } from './auth.ts'
import { buildConfig } from './config.ts'
import { mergeLayers } from './load-env.ts'
import { readRawConfig } from './raw-config.ts'
import { redactUrl } from './redact.ts'
import type { ConfigVariable } from './variable.ts'
import { CONFIG_VARIABLES, VARIABLE_NAMES, type VariableName } from './variables.ts'

/** The effective value of a variable. */
export interface ConfigEntry {
  readonly name: VariableName
  /** Text with secrets masked; null if it is not set and has no default. */
  readonly value: string | null
  /** `file`: read from the file that NAME_FILE names. */
  readonly source: 'default' | 'environment' | '.env' | 'file'
}

/** Masks a secret. For a variable that is a URL, keeps scheme, host and path; any other value can look like one. */
const mask = (name: VariableName, text: string): string => {
  if (!name.endsWith('_URL')) return '***'
  return text.startsWith('sqlite:') ? text : redactUrl(text)
}

/**
 * Lists every variable with its effective value and the source of the value.
 *
 * @throws GatewayError config_invalid as loadConfig does
 */
export const explainConfig = ({ processEnv, dotEnv }: EnvLayers = readEnvLayers()): readonly ConfigEntry[] => {
  const env = mergeLayers({ processEnv, dotEnv })
  const raw = readRawConfig(env)
  buildConfig(raw, env)
  return VARIABLE_NAMES.map((name) => {
    const { secret }: ConfigVariable = CONFIG_VARIABLES[name]
    const text = name === 'AUTH' ? effectiveAuth(raw) : raw.texts.get(name)
    const value = text === undefined ? null : secret ? mask(name, text) : text
    const source = raw.sources.get(name)
    if (source === undefined) return { name, value, source: 'default' }
    return { name, value, source: source === `${name}_FILE` ? 'file' : processEnv[source] ? 'environment' : '.env' }
  })
}
