import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { DISTRIBUTION, repositoryFile } from './assets.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** The two sources of variables. `own` has precedence, even if a value is empty. */
export interface EnvLayers {
  /** Environment of the process. */
  readonly processEnv: Env
  /** Content of `.env`, which is next to package.json in a clone, otherwise in the working directory. Empty if there is none. */
  readonly dotEnv: Env
}

export const readEnvLayers = (): EnvLayers => {
  const file = DISTRIBUTION === 'sources' ? repositoryFile('.env') : resolve('.env')
  return {
    processEnv: process.env,
    dotEnv: file !== null && existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {},
  }
}
