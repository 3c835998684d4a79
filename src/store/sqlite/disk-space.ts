import { open, rm } from 'node:fs/promises'
import type { GatewayError } from '../../core/errors.ts'
import { noop } from '../../core/noop.ts'
import type { AppendEntry } from '../store.ts'

/** Space that a commit takes in addition to its bodies, in bytes: pages of the indexes, per commit and per entry. */
const COMMIT_BYTES = 64 * 1024
const ENTRY_BYTES = 8 * 1024
const CHUNK = Buffer.alloc(1024 * 1024)

const bodyBytes = (entry: AppendEntry): number =>
  entry.kind === 'message' ? Buffer.byteLength(entry.message.body) : entry.rejection.body.length

/**
 * Checks that the disk of the database has space for a commit of these entries, by a file that is deleted again: quotas and reserved blocks
 * are not part of what the file system reports as free.
 *
 * @throws `failure` if the file cannot be written
 */
export const assertSpaceFor = async (
  databaseFile: string,
  entries: readonly AppendEntry[],
  failure: GatewayError,
): Promise<void> => {
  const file = `${databaseFile}.space-${process.pid}`
  try {
    const handle = await open(file, 'w', 0o600)
    try {
      // Nothing stays behind if the process is killed now.
      await rm(file).catch(noop)
      let left = entries.reduce((sum, entry) => sum + 2 * bodyBytes(entry) + ENTRY_BYTES, COMMIT_BYTES)
      while (left > 0) left -= (await handle.write(CHUNK, 0, Math.min(left, CHUNK.length))).bytesWritten
    } finally {
      await handle.close()
    }
  } catch {
    throw failure
  } finally {
    await rm(file, { force: true }).catch(noop)
  }
}
