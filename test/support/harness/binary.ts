import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { buildBinary } from '../../../build/binary.ts'
import { ROOT } from '../servers/gateway.ts'
import { tempDir } from './wait.ts'

const EXECUTABLE = join(ROOT, 'dist', 'deepsoc-gateway')

/** Everything that the executable is made of. */
const SOURCES = ['src', 'build', 'schema.sql', 'package.json', 'package-lock.json']

const newest = (path: string): number => {
  const stat = statSync(join(ROOT, path))
  if (!stat.isDirectory()) return stat.mtimeMs
  const below = readdirSync(join(ROOT, path), { recursive: true, encoding: 'utf8' })
  return Math.max(stat.mtimeMs, ...below.map((name) => statSync(join(ROOT, path, name)).mtimeMs))
}

/** The executable, built again if its sources are newer. @returns its path and how long it took, 0: it was there */
export const ensureBinary = async (): Promise<{ file: string; ms: number }> => {
  const there = statSync(EXECUTABLE, { throwIfNoEntry: false })
  if (there !== undefined && there.mtimeMs > Math.max(...SOURCES.map(newest))) return { file: EXECUTABLE, ms: 0 }
  const from = performance.now()
  return { file: await buildBinary(), ms: Math.round(performance.now() - from) }
}

/** The executable alone in a new folder that everybody may enter. */
export const aloneInFolder = (file: string): { dir: string; file: string } => {
  const dir = tempDir('gateway-alone-')
  execFileSync('chmod', ['755', dir])
  const copy = join(dir, basename(file))
  copyFileSync(file, copy)
  return { dir, file: copy }
}

/** Why no root of its own can be made for a process here, or null. */
export const noJail = (): string | null => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a root of its own needs Linux and root'
  const may = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
  return may ? null : 'this root may not mount file systems'
}

/** The libraries that a program loads, its loader included. */
const librariesOf = (file: string): string[] =>
  [...execFileSync('ldd', [file], { encoding: 'utf8' }).matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path!)

export interface Jail {
  /** Runs a command in it; to be spawned. Inside, the executable is /deepsoc-gateway. */
  command(args: readonly string[], options?: { readonly uid?: number; readonly tmp?: string }): [string, string[]]
  /** Where /data of the inside lies. */
  readonly data: string
}

/**
 * A root that holds the executable, the libraries it loads and nothing else, mounted read-only, without a home and without
 * a shell; /data and /tmp (options of its mount: `tmp`) alone can be written. It goes with the process in it.
 */
export const makeJail = (executable: string): Jail => {
  const data = tempDir('gateway-jail-data-')
  execFileSync('chmod', ['777', data])
  const mountPoint = tempDir('gateway-jail-')
  const script = join(tempDir('gateway-jail-script-'), 'enter')
  const copies = librariesOf(executable)
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
