import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The system calls that strace has to record for a model. */
export const TRACED_CALLS =
  'openat,creat,write,writev,sendmsg,sendto,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat'

/** The smallest part of a file that a disk writes whole. */
const SECTOR = 512

type Change =
  | { readonly at: number; readonly bytes: Buffer }
  /** The new length of the file. */
  | { readonly length: number }

type Inode = { synced: Buffer; readonly pending: { readonly change: Change; readonly line: number }[] }

/** A file that gets a name, or a name that is removed. */
type Renaming = { readonly name: string; readonly inode: Inode | null; readonly line: number }

/** A system call: its lines in the trace, its text, and its result. */
type Call = { readonly start: number; readonly name: string; readonly args: string; readonly result: number }

const applied = (content: Buffer, change: Change): Buffer => {
  const length = 'length' in change ? change.length : Math.max(content.length, change.at + change.bytes.length)
  const next = Buffer.alloc(length)
  content.copy(next)
  if ('bytes' in change) change.bytes.copy(next, change.at)
  return next
}

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')

const parseStrings = (args: string): Buffer[] => [...args.matchAll(/"([^"]*)"/g)].map(([, text]) => unhex(text!))

/**
 * A folder on a disk with a volatile cache. It is built from the system calls of a process (`strace -f -y -xx`), and
 * shows what a power loss can leave: data without a later fsync of its file, and names without a later fsync of the
 * folder, may be missing. Files in memory that is shared (`-shm`) are left out; SQLite rebuilds them.
 */
export class DiskModel {
  readonly #dir: string
  readonly #names = new Map<string, Inode>()
  readonly #syncedNames = new Map<string, Inode>()
  readonly #renamings: Renaming[] = []
  /** Number of lines of all traces so far. */
  #line = 0

  constructor(dir: string) {
    this.#dir = dir
  }

  /**
   * Replays a trace. `onSent` gets what is about to be sent over a socket; `onChange` is called after each call that
   * changes what is on the disk for certain, or a name.
   */
  replay(trace: string, { onSent, onChange }: { onSent(bytes: Buffer): void; onChange(): void }): void {
    const open = new Map<string, { start: number; text: string }>()
    for (const text of trace.split('\n')) {
      const line = this.#line++
      const [, pid = '', rest = ''] = /^(\d+) +(.*)$/.exec(text) ?? []
      const unfinished = / <unfinished \.\.\.>$/.exec(rest)
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
      const began = resumed ? open.get(pid) : { start: line, text: '' }
      if (!began) continue
      if (!resumed) this.#send(rest, onSent)
      if (unfinished) open.set(pid, { start: line, text: rest.slice(0, unfinished.index) })
      else {
        const [, name, args, result] = /^(\w+)\((.*)\) += (-?\d+)/.exec(began.text + (resumed?.[1] ?? rest)) ?? []
        if (name === undefined || Number(result) < 0) continue
        if (this.#apply({ start: began.start, name, args: args!, result: Number(result) }, line)) onChange()
      }
    }
  }

  /** Writes to a folder what a power loss leaves. `keeps` decides about each sector and name that was not synced. */
  writeTo(dir: string, keeps: () => boolean): void {
    rmSync(dir, { recursive: true, force: true })
    mkdirSync(dir)
    const names = new Map(this.#syncedNames)
    for (const { name, inode } of this.#renamings) {
      // Names are changed in order.
      if (!keeps()) break
      if (inode === null) names.delete(name)
      else names.set(name, inode)
    }
    for (const [name, { synced, pending }] of names) {
      let content = synced
      for (const { change } of pending) {
        if ('length' in change) {
          if (keeps()) content = applied(content, change)
          continue
        }
        for (let at = 0; at < change.bytes.length; at += SECTOR) {
          const bytes = change.bytes.subarray(at, at + SECTOR)
          if (keeps()) content = applied(content, { at: change.at + at, bytes })
        }
      }
      writeFileSync(join(dir, name), content)
    }
  }

  #send(text: string, onSent: (bytes: Buffer) => void): void {
    if (/^(write|writev|sendmsg|sendto)\(/.test(text)) onSent(Buffer.concat(parseStrings(text)))
  }

  /** Returns the file of the first descriptor or path, undefined for the folder itself, null if it is elsewhere. */
  #parseFileName(args: string): string | undefined | null {
    const [, ofDescriptor] = /^\d+<([^>]*)>(?!\(deleted\))/.exec(args.replace(/^\w+\(/, '')) ?? []
    const path = (ofDescriptor === undefined ? parseStrings(args)[0] : unhex(ofDescriptor))?.toString() ?? ''
    if (path === this.#dir) return undefined
    return dirname(path) === this.#dir && !path.endsWith('-shm') ? path.slice(this.#dir.length + 1) : null
  }

  /** @returns true if names, or what is certain, have changed */
  #apply({ start, name: call, args, result }: Call, line: number): boolean {
    const name = this.#parseFileName(args)
    if (name === null || call === 'write') return false
    if (name === undefined) return this.#syncFolder(call, start)
    const inode = this.#names.get(name)
    if (call === 'openat') {
      if (/O_TRUNC/.test(args) && inode) inode.pending.push({ change: { length: 0 }, line })
      if (inode || !/O_CREAT/.test(args)) return false
      this.#rename({ name, inode: { synced: Buffer.alloc(0), pending: [] }, line })
      return true
    }
    if (!inode) throw new Error(`${call} of ${name}, which was not created`)
    if (call === 'fsync' || call === 'fdatasync') {
      while (inode.pending.length > 0 && inode.pending[0]!.line < start) {
        inode.synced = applied(inode.synced, inode.pending.shift()!.change)
      }
      return true
    }
    if (call === 'pwrite64') {
      const bytes = parseStrings(args.slice(args.indexOf('>')))[0]!.subarray(0, result)
      inode.pending.push({ change: { at: Number(/(\d+)$/.exec(args)![1]), bytes }, line })
      return false
    }
    if (call === 'ftruncate') {
      inode.pending.push({ change: { length: Number(/(\d+)$/.exec(args)![1]) }, line })
      return false
    }
    if (call === 'unlink') {
      this.#rename({ name, inode: null, line })
      return true
    }
    throw new Error(`the model lacks ${call}(${args})`)
  }

  #rename(renaming: Renaming): void {
    this.#renamings.push(renaming)
    if (renaming.inode === null) this.#names.delete(renaming.name)
    else this.#names.set(renaming.name, renaming.inode)
  }

  #syncFolder(call: string, start: number): boolean {
    if (call !== 'fsync' && call !== 'fdatasync') return false
    while (this.#renamings.length > 0 && this.#renamings[0]!.line < start) {
      const { name, inode } = this.#renamings.shift()!
      if (inode === null) this.#syncedNames.delete(name)
      else this.#syncedNames.set(name, inode)
    }
    return true
  }
}
