import { accessSync, constants, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeAtExit } from '../harness/cleanup.ts'

/** A new folder in memory if possible, so that thousands of commits are cheap. */
export const fastDir = (): string => {
  let parent = tmpdir()
  try {
    accessSync('/dev/shm', constants.W_OK)
    parent = '/dev/shm'
  } catch {
    // Without a file system in memory, use the disk.
  }
  const dir = mkdtempSync(join(parent, 'gateway-log-'))
  removeAtExit(dir)
  return dir
}
