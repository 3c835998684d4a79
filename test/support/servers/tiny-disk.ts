import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A small file system that can be filled up. */
export interface TinyDisk {
  readonly dir: string
  /** Fills the disk completely. */
  fill(): void
  /** Frees the space that `fill` used. */
  free(): void
  dispose(): Promise<void>
}

/** Why no small disk can be created here, or null. */
export const noTinyDisk = (): string | null => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting a file system needs Linux and root'
  const dir = mkdtempSync(join(tmpdir(), 'gateway-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir]).status === 0
  if (mounted) spawnSync('umount', [dir])
  rmSync(dir, { recursive: true, force: true })
  return mounted ? null : 'this root may not mount file systems'
}

/** Mounts a disk of this many bytes in memory; it is removed when this process exits, for any reason. */
export const mountTinyDisk = (bytes: number): TinyDisk => {
  const dir = mkdtempSync(join(tmpdir(), 'gateway-disk-'))
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', dir])
  if (status !== 0) throw new Error(`mount: ${stderr}`)
  // Its stdin is closed when this process exits.
  const keeper = spawn('/bin/sh', ['-c', 'read -r _; umount -l "$0"; rmdir "$0"', dir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  keeper.unref()
  ;(keeper.stdin as unknown as { unref(): void }).unref()
  const filler = join(dir, 'filler')
  return {
    dir,
    fill: () => {
      const fd = openSync(filler, 'a')
      let chunk = Buffer.alloc(64 * 1024)
      while (chunk.length > 0) {
        try {
          writeSync(fd, chunk)
        } catch {
          chunk = chunk.subarray(0, chunk.length >> 1)
        }
      }
      closeSync(fd)
    },
    free: () => rmSync(filler, { force: true }),
    dispose: async () => {
      const closed = once(keeper, 'close')
      keeper.stdin.end()
      await closed
    },
  }
}
