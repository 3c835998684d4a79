import { type Env, type EnvLayers, readEnvLayers } from '../platform/env.ts'
import type { ConfigVariable } from './variable.ts'
import { CONFIG_VARIABLES } from './variables.ts'

const SECRETS = Object.entries<ConfigVariable>(CONFIG_VARIABLES).flatMap(([name, { secret }]) => (secret ? [name] : []))

/** Merges the environment over `.env`. NAME and NAME_FILE are one setting: either of them in the environment replaces both of `.env`. */
export const mergeLayers = ({ processEnv, dotEnv }: EnvLayers): Env => {
  const replaced = SECRETS.flatMap((name) => [
    ...(processEnv[`${name}_FILE`] ? [name] : []),
    ...(processEnv[name] ? [`${name}_FILE`] : []),
  ])
  const rest = Object.entries(dotEnv).filter(([name]) => !replaced.includes(name))
  return { ...Object.fromEntries(rest), ...processEnv }
}

/** Returns the variables of the process and of `.env`. */
export const loadEnv = (): Env => mergeLayers(readEnvLayers())
