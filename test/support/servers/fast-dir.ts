import { accessSync, constants, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeAtExit } from '../harness/cleanup.ts'

/** A new folder in memory where there is such a thing, so that thousands of commits cost little. */
export const fastDir = (): string => {
  let parent = tmpdir()
  try {
    accessSync('/dev/shm', constants.W_OK)
    parent = '/dev/shm'
  } catch {
    // No such memory: the disk does too.
  }
  const dir = mkdtempSync(join(parent, 'gateway-log-'))
  removeAtExit(dir)
  return dir
}
