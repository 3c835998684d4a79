import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { buildBinary } from '../../../build/binary.ts'
import { ROOT } from '../servers/gateway.ts'
import { tempDir } from './wait.ts'

const EXECUTABLE = join(ROOT, 'dist', 'deepsoc-gateway')

/** All inputs of the executable. */
const SOURCES = ['src', 'build', 'schema.sql', 'package.json', 'package-lock.json']

const newest = (path: string): number => {
  const stat = statSync(join(ROOT, path))
  if (!stat.isDirectory()) return stat.mtimeMs
  const below = readdirSync(join(ROOT, path), { recursive: true, encoding: 'utf8' })
  return Math.max(stat.mtimeMs, ...below.map((name) => statSync(join(ROOT, path, name)).mtimeMs))
}

/** Builds the executable if its sources are newer. @returns its path and the build time, 0 if it was up to date */
export const ensureBinary = async (): Promise<{ file: string; ms: number }> => {
  const there = statSync(EXECUTABLE, { throwIfNoEntry: false })
  if (there !== undefined && there.mtimeMs > Math.max(...SOURCES.map(newest))) return { file: EXECUTABLE, ms: 0 }
  const from = performance.now()
  return { file: await buildBinary(), ms: Math.round(performance.now() - from) }
}

/** The executable alone in a new folder that every user can enter. */
export const aloneInFolder = (file: string): { dir: string; file: string } => {
  const dir = tempDir('gateway-alone-')
  execFileSync('chmod', ['755', dir])
  const copy = join(dir, basename(file))
  copyFileSync(file, copy)
  return { dir, file: copy }
}

/** Why no separate root can be created for a process here, or null. */
export const noJail = (): string | null => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a root of its own needs Linux and root'
  const may = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
  return may ? null : 'this root may not mount file systems'
}

/** Returns the libraries that a program loads, its loader included. */
const listLibraries = (file: string): string[] =>
  [...execFileSync('ldd', [file], { encoding: 'utf8' }).matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path!)

export interface Jail {
  /** Arguments to spawn a command in it. Inside, the executable is /deepsoc-gateway. */
  command(args: readonly string[], options?: { readonly uid?: number; readonly tmp?: string }): [string, string[]]
  /** Path of the inner /data on the host. */
  readonly data: string
}

/**
 * A root file system that contains only the executable and the libraries it loads, mounted read-only, without home and
 * shell; only /data and /tmp (mount options: `tmp`) are writable. It is removed with the process in it.
 */
export const makeJail = (executable: string): Jail => {
  const data = tempDir('gateway-jail-data-')
  execFileSync('chmod', ['777', data])
  const mountPoint = tempDir('gateway-jail-')
  const script = join(tempDir('gateway-jail-script-'), 'enter')
  const copies = listLibraries(executable)
    .map((path) => `mkdir -p "$root${dirname(path)}" && cp -L ${path} "$root${path}"`)
    .join('\n')
  writeFileSync(
    script,
    `set -e
root=${mountPoint} uid=$1 tmp=$2
shift 2
mount -t tmpfs -o mode=755 tmpfs "$root"
${copies}
mkdir "$root/data" "$root/tmp" "$root/proc" "$root/dev"
touch "$root/deepsoc-gateway" "$root/dev/null"
mount --bind ${executable} "$root/deepsoc-gateway"
mount --bind /dev/null "$root/dev/null"
mount -o remount,ro "$root"
mount -t proc proc "$root/proc"
mount --bind ${data} "$root/data"
[ "$tmp" = none ] || mount -t tmpfs -o "mode=1777,$tmp" tmpfs "$root/tmp"
exec chroot --userspec="$uid:$uid" "$root" /deepsoc-gateway "$@"
`,
  )
  mkdirSync(mountPoint, { recursive: true })
  return {
    data,
    command: (args, { uid = 65534, tmp = 'exec' } = {}) => [
      '/usr/bin/unshare',
      ['--mount', '--propagation', 'private', '/bin/sh', script, String(uid), tmp, ...args],
    ],
  }
}
