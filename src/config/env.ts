import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { FORM, fileOfClone } from '../platform/assets.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Adds what `.env` says, beside package.json in a clone, else in the working directory; the process's own environment
 * wins over it.
 */
export const readEnvironment = (own: Environment = process.env): Environment => {
  const file = FORM === 'sources' ? fileOfClone('.env') : resolve('.env')
  if (file === null || !existsSync(file)) return own
  return { ...parseEnv(readFileSync(file, 'utf8')), ...own }
}
