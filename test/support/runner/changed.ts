import { execFileSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const QUOTED_PATH = /['"`](\.{1,2}\/[^'"`\n]+)['"`]/g

const namedIn = new Map<string, string[]>()

/** Files that a file refers to by a relative path: imports, entries of other processes, fixtures. */
const filesNamedIn = (file: string): string[] => {
  const known = namedIn.get(file)
  if (known) return known
  const text = /\.[cm]?[jt]s$/.test(file) ? readFileSync(file, 'utf8') : ''
  const found = [...text.matchAll(QUOTED_PATH)]
    .map(([, path]) => resolve(dirname(file), path!))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
  namedIn.set(file, found)
  return found
}

/** Returns the file itself and all files that it refers to, directly or indirectly. */
const collectDependencies = (file: string, seen = new Set<string>()): Set<string> => {
  if (!seen.has(file)) {
    seen.add(file)
    for (const each of filesNamedIn(file)) collectDependencies(each, seen)
  }
  return seen
}

/** Returns the files of the work tree that differ from a revision, including new ones, as absolute paths. */
const changedSince = (root: string, base: string): string[] => {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' })
  const differing = git('diff', '--name-only', '-z', base)
  const untracked = git('ls-files', '-z', '--others', '--exclude-standard')
  return [...differing.split('\0'), ...untracked.split('\0')].filter(Boolean).map((path) => join(root, path))
}

/**
 * Returns the test files that a change may break: those that import a changed file, directly or indirectly; since most
 * tests start gateways as processes, those in a folder with the name of a changed file's folder in src/; and the
 * repository rules, which read every file.
 * @throws Error if there is no git repository, or no such revision in it
 */
export const selectChanged = (dir: string, files: readonly string[], base: string): string[] => {
  const top = execFileSync('git', ['rev-parse', '--show-toplevel'], { cwd: dir, encoding: 'utf8' }).trim()
  const changed = changedSince(top, base)
  const folders = new Set(
    changed
      .map((path) => relative(top, path))
      .flatMap((path) => (path.startsWith('src/') ? path.split('/').slice(1, -1) : [])),
  )
  return files.filter((file) => {
    if (
      relative(dir, dirname(file))
        .split('/')
        .some((folder) => folders.has(folder))
    )
      return true
    if (/^\/\/ unit$/m.test(readFileSync(file, 'utf8'))) return changed.length > 0
    const needed = collectDependencies(file)
    return changed.some((path) => needed.has(path))
  })
}
