import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { DISTRIBUTION, repositoryFile } from './assets.ts'

export type Env = Readonly<Record<string, string | undefined>>

/**
 * Adds what `.env` says, beside package.json in a clone, else in the working directory; the process's own environment
 * wins over it.
 */
export const loadEnv = (own: Env = process.env): Env => {
  const file = DISTRIBUTION === 'sources' ? repositoryFile('.env') : resolve('.env')
  if (file === null || !existsSync(file)) return own
  return { ...parseEnv(readFileSync(file, 'utf8')), ...own }
}
