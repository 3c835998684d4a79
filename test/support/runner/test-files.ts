import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { FULL } from '../harness/tier.ts'

/** One process to run: a test file in one of its variants, or all unit tests together. */
export type TestRun = {
  /** The path from the working directory, with the variant. */
  name: string
  files: readonly string[]
  /** True for unit tests, which need nothing and start no server. */
  unit: boolean
  needs: readonly string[]
  /** True if it runs alone, after the others. */
  alone: boolean
  /** TEST_WORKERS and TEST_TRANSPORT of the variant. */
  env: Readonly<Record<string, string>>
}

const HEADER = /^\/\/\s*(needs|alone|unit|full|workers|transports)\b:?\s*(.*)$/

/** The header lines of a test file by their first word, with the values of this tier. */
const readHeader = (path: string): Map<string, string> => {
  const header = new Map<string, string>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line.trim() !== '' && !line.startsWith('//')) break
    const [, key, value = ''] = HEADER.exec(line.trimEnd()) ?? []
    const [short = '', full = short] = value.split(/;\s*full:\s*/)
    if (key !== undefined) header.set(key, FULL ? full : short)
  }
  return header
}

const splitWords = (text = ''): string[] => text.split(/[\s,]+/).filter(Boolean)

/** Returns a file once per number of workers over its first transport, and once per further transport. */
const listVariants = (name: string, path: string, header: Map<string, string>): TestRun[] => {
  const variant = (workers: string | undefined, transport: string | undefined): TestRun => ({
    name: [name, workers && `WORKERS=${workers}`, transport].filter(Boolean).join(', '),
    files: [path],
    unit: false,
    // openssl creates the certificates of the other transports.
    needs: [...splitWords(header.get('needs')), ...(transport && transport !== 'http1' ? ['openssl'] : [])],
    alone: header.has('alone'),
    env: { ...(workers && { TEST_WORKERS: workers }), ...(transport && { TEST_TRANSPORT: transport }) },
  })
  const [count, ...counts] = splitWords(header.get('workers'))
  const [transport, ...transports] = splitWords(header.get('transports'))
  return [
    ...[count, ...counts].map((each) => variant(each, transport)),
    ...transports.map((each) => variant(count, each)),
  ]
}

/** Returns every test file below a folder. */
export const findTestFiles = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts') && !path.split(sep).includes('node_modules'))
    .sort()
    .map((path) => join(dir, path))

/**
 * Returns the runs of these files in this tier, or of the unit tests among them. Unit tests are those below `unit/` or
 * with the header `unit`; they share one process.
 */
export const listRuns = (dir: string, paths: readonly string[], unitOnly: boolean): TestRun[] => {
  const unit: string[] = []
  const others: TestRun[] = []
  for (const path of paths) {
    const header = readHeader(path)
    const name = relative(process.cwd(), path)
    const isUnit = relative(dir, path).split(sep).includes('unit') || header.has('unit')
    if (isUnit && header.has('needs')) throw new Error(`${name}: a unit test cannot have needs`)
    if (isUnit) unit.push(path)
    else if (!unitOnly && (FULL || !header.has('full'))) others.push(...listVariants(name, path, header))
  }
  if (unit.length === 0) return others
  const name = unit.length === 1 ? relative(process.cwd(), unit[0]!) : 'unit tests'
  return [{ name, files: unit, unit: true, needs: [], alone: false, env: {} }, ...others]
}
