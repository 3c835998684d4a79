import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'
import { limit } from '../harness/limits.ts'

const PAGE = 4_096

/** Copies the WAL of a database into its file, so that damage of the file is damage of the data. */
export const checkpoint = (file: string): void => {
  const db = new Database(file, { fileMustExist: true, timeout: limit(10_000) })
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
}

/** Returns the number of the page that contains a text. @throws Error if none does */
export const pageWith = (file: string, text: string): number => {
  const at = readFileSync(file).indexOf(text)
  if (at < 0) throw new Error(`${file} does not contain ${text}`)
  return Math.floor(at / PAGE)
}

/** Overwrites pages of a file with zeros. @returns a function that writes them back */
export const zeroPages = (file: string, pages: readonly number[]): (() => void) => {
  const write = (contents: readonly Buffer[]): void => {
    const fd = openSync(file, 'r+')
    for (const [index, page] of pages.entries()) writeSync(fd, contents[index]!, 0, PAGE, page * PAGE)
    closeSync(fd)
  }
  const fd = openSync(file, 'r')
  const before = pages.map((page) => {
    const content = Buffer.alloc(PAGE)
    readSync(fd, content, 0, PAGE, page * PAGE)
    return content
  })
  closeSync(fd)
  write(before.map(() => Buffer.alloc(PAGE)))
  return () => write(before)
}
