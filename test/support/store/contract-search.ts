import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { foldText, matchesTerms, parseSearchTerms, searchableText } from '../../../src/core/search-text.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { runs } from '../harness/tier.ts'
import { store } from '../stages/entries.ts'
import type { LogTest, Store } from './sqlite-store.ts'

/** Returns the db_ids of all hits, newest first. */
const find = async (itsStore: Store, terms: readonly string[]): Promise<number[]> => {
  const found: number[] = []
  for (let before: number | null = null; ; ) {
    const query = { terms, filter: createFilter('*'), since: null, until: null, before, limit: 200 }
    const { hits, nextBefore } = await itsStore.search(query)
    found.push(...hits.map(({ db_id }) => db_id))
    if (nextBefore === null) return found
    before = nextBefore
  }
}

/** Bodies, each with queries that find it and, of these bodies, no other one. */
const FORMS: readonly (readonly [body: string, queries: readonly string[]])[] = [
  [
    '{"message_content":{"status":"failed","src_ip" : "10.0.0.1"}}',
    ['"status: failed"', 'status:', '"src_ip: 10.0.0.1"'],
  ],
  [
    '{"message_content":{"n":1e3,"m":[4.43E2, -0.0000001,1e400]}}',
    ['1000', '443', '"1000 m: 443"', '1e-7', 'infinity'],
  ],
  ['{"message_content":12345678901234567890}', ['12345678901234567000', '12345678901234567890']],
  ['{"message_content":"a\\u0041b \\u0031\\u0032\\u003aC"}', ['aab', '12:c']],
  ['{"message_content":"\\u4e2d文 ok\\ud83d\\ude42"}', ['中文', 'ok🙂']],
  ['{"message_content":"{\\"text\\":\\"\\\\u653b击 \\u005cu4e0a海\\"}"}', ['攻击', '上海']],
  ['{"message_content":"100\u212am \u0130stanbul gro\u1e9e"}', ['100km', 'i\u0307stanbul', 'stanbul', 'groß']],
  ['{"message_content":"\\u0130zmir 7\\u212a9"}', ['i\u0307zmir', '7k9']],
  ['{"event_name":"second","message_content":"first"}', ['"first second"']],
  [
    '{"message_content":"x\\/y C:\\\\dir\\tend \\u003ctag\\u003e 5% [z](w) p.q*r"}',
    ['x/y', 'c:\\dir', '"dir end"', '<tag>', '5%', '[z](w)', 'p.q*r'],
  ],
]

/** A character by its number. */
const escapeCharacter = (character: string): string =>
  Array.from(character.split(''), (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')

/** Text in JSON. For each character a number, taken in turn, decides: 0 as it is, 1 by its number, 2 with a backslash if it is a slash. */
const encode = (text: string, forms: readonly number[]): string => {
  const characters = Array.from(text, (character, index) => {
    const form = forms[index % forms.length]
    if (form === 1) return escapeCharacter(character)
    return form === 2 && character === '/' ? '\\/' : JSON.stringify(character).slice(1, -1)
  })
  return `"${characters.join('')}"`
}

const ALPHABET = [
  ...'aAkKiI09zZ.:/\\-_%[]()<&+{}',
  ' ',
  '\n',
  '\u0130',
  '\u212a',
  'é',
  'É',
  '中',
  '文',
  '🙂',
  '\u00a0',
  '\u0085',
]

const text = fc.array(fc.constantFrom(...ALPHABET), { minLength: 1, maxLength: 12 }).map((parts) => parts.join(''))
const NUMBERS = ['7', '-0', '1e3', '1.50', '4.43E2', '0.00000012', '1e400', '12345678901234567890', '1.5e+22']
const message = fc.record({
  key: text,
  value: text,
  number: fc.constantFrom(...NUMBERS),
  inner: text,
  forms: fc.array(fc.constantFrom(0, 0, 1, 2), { minLength: 1, maxLength: 7 }),
  from: fc.nat(60),
  length: fc.integer({ min: 2, max: 20 }),
})

/** A search finds all messages whose text has all terms, however their JSON is written. */
export const checkSearch = (test: LogTest): void => {
  test('finds a message in whatever form its publisher has written it', async (log, itsStore) => {
    const ids = await store(log, ...FORMS.map(([body]) => ({ body })))
    for (const [index, [body, queries]] of FORMS.entries()) {
      for (const query of queries)
        assert.equal(await find(itsStore, parseSearchTerms(query)!), [ids[index]], `${query} in ${body}`)
    }
  })

  test('finds every part of the text of any message', async (log, itsStore) => {
    const property = fc.asyncProperty(message, async ({ key, value, number, inner, forms, from, length }) => {
      const python = JSON.stringify({ inner }).replace(/[^ -~]/gu, escapeCharacter)
      const content = `{${encode(key, forms)}:${number},"all" : [${encode(value, forms)}],"inner":${encode(python, forms)}}`
      const body = `{"name":${encode(inner, forms)},"message_content":${content}}`
      const whole = searchableText(body)
      const part = Array.from(whole)
        .slice(from % whole.length)
        .slice(0, length)
        .join('')
      const terms = parseSearchTerms(`"${part}"`)
      if (terms === null || !matchesTerms(foldText(whole), terms)) return
      const [id] = await store(log, { body })
      assert.ok((await find(itsStore, terms)).includes(id!), `${JSON.stringify(terms)} in ${body}`)
    })
    await fc.assert(property, { numRuns: runs(60, 1_000) })
  })
}
