// unit
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { withoutComments } from '../support/repo/import-rules.ts'
import { ROOT } from '../support/servers/gateway.ts'

/** Names of other programs and standards, which do not occur in the code. */
const EXTERNAL = new Set(['await', 'iat', 'prlimit', 'recursive', 'surrogateescape'])

const SRC = join(ROOT, 'src')
const PATHS = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
const FILES = PATHS.map((path) => ({ path, text: readFileSync(join(SRC, path), 'utf8') }))
const CODE = FILES.map(({ text }) => withoutComments(text)).join('\n')

const hasWord = (code: string, word: string): boolean => new RegExp(`(?<![\\w#])${word}\\b`).test(code)

/** Returns whether a file has the name as a string, a member or a declaration. */
const isDeclared = (word: string): boolean =>
  new RegExp(`['"]${word}['"]|[.?]${word}\\b|^ +(readonly |async )*${word}[(:?]`, 'm').test(CODE)

/** Returns the first list in parentheses. */
const parametersOf = (code: string): string => {
  let depth = 0
  const start = code.indexOf('(')
  const end = [...code].findIndex((char, index) => {
    if (index >= start) depth += '([{'.includes(char) ? 1 : ')]}'.includes(char) ? -1 : 0
    return index > start && depth === 0
  })
  return code.slice(start, end)
}

/** Returns the names in docstrings that do not exist. Of `@param options.x` the parameter list has either part. */
const unknownNames = (text: string): string[] => {
  const code = withoutComments(text)
  return [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap(({ 0: doc, index }) => {
    const names = (pattern: RegExp): string[] => [...doc.matchAll(pattern)].map(([, name]) => name!)
    const isMissing = (name: string): boolean =>
      !EXTERNAL.has(name) && !hasWord(code, name) && (name.startsWith('#') || !isDeclared(name))
    const isParameter = (name: string): boolean =>
      name.split('.').some((part) => hasWord(parametersOf(withoutComments(text.slice(index + doc.length))), part))
    return [
      ...names(/@param ([\w.]+)/g).filter((name) => !isParameter(name)),
      ...names(/`(#?[a-z]\w*)`/g).filter(isMissing),
    ]
  })
}

const test = suite('the docstrings of src')

test('the names in docstrings exist', () => {
  assert.equal(
    FILES.flatMap(({ path, text }) => unknownNames(text).map((name) => `${path}: ${name}`)),
    [],
  )
})

test('finds parameters and members that do not exist', () => {
  const text = '/** Adds `b`, see `#gone`. @param c none @param a one */\nconst add = (a: (x: 1) => 2, b = 1) => a'
  assert.equal(unknownNames(text), ['c', '#gone'])
})

test.run()
