import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { splitJsonArray as split } from '../../../src/core/split-json-array.ts'
import { measureGrowth } from '../../support/harness/processor-time.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

const splitJsonArray = (text: string): string[] | null => split(text, Number.POSITIVE_INFINITY)

const splitting = suite('splitting a batch')

splitting('extracts the elements unchanged', () => {
  const texts = [
    '{"n":12302548181076029,"x":1.10}',
    '{"s":"],[}{\\"\\\\"}',
    '[1,[2,{"a":[]}]]',
    '"a,b"',
    '""',
    '-0',
    '1e400',
    'null',
    '{}',
    '[]',
    '"\\u005d\u2028"',
  ]
  assert.equal(splitJsonArray(`[${texts.join(',')}]`), texts)
  assert.equal(splitJsonArray(`\r\n [ ${texts.join(' ,\n')}\t] \n`), texts)
})

splitting('an empty array has no elements', () => {
  for (const text of ['[]', ' [ ] ', '[\r\n]']) assert.equal(splitJsonArray(text), [])
})

splitting('text that is not an array is rejected, wherever it is malformed', () => {
  const broken = [
    '',
    '{}',
    '[',
    ']',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[,]',
    '[1,,2]',
    '[1]]',
    '[1] x',
    'x[1]',
    '[[1]',
    '[1}]',
    '["a]',
    '[{]',
  ]
  for (const text of [...broken, '[1]\u00a0', '\ufeff[1]']) assert.is(splitJsonArray(text), null, text)
  // Invalid JSON inside is kept and reported later.
  assert.equal(splitJsonArray('[{"a":1} {"b":2},{],{"c":}, \u00a0{}]'), ['{"a":1} {"b":2}', '{]', '{"c":}', '\u00a0{}'])
})

splitting('stops one element after the maximum', () => {
  assert.equal(split('[1,2,3,4,]]', 2), ['1', '2', '3'])
  assert.equal(split('[1,2]', 2), ['1', '2'])
})

splitting('endless whitespace between two tokens costs time linear in its length', () => {
  const growth = measureGrowth((size) => {
    for (let n = 0; n < 20; n++) assert.is(splitJsonArray(`[1${' '.repeat(size)}2]`)?.length, 1)
  }, 20_000)
  assert.ok(growth < 40, `ten times the space takes ${growth} times the processor`)
})

splitting('keeps whitespace between the tokens of an element', () => {
  assert.equal(splitJsonArray('[ { "a" :\n1 } , { } ]'), ['{ "a" :\n1 }', '{ }'])
})

splitting('any array with any indent yields substrings that equal its elements', () => {
  const array = fc.array(fc.jsonValue({ stringUnit: 'binary', maxDepth: 4 }))
  const indent = fc.constantFrom<string | number | undefined>(undefined, 1, 10, '\t', '\n', '\r\n ', ' \t')
  fc.assert(
    fc.property(array, indent, fc.constantFrom('', ' ', '\n'), (values, space, around) => {
      const text = `${around}${JSON.stringify(values, null, space)}${around}`
      const elements = splitJsonArray(text)!
      assert.ok(
        isDeepStrictEqual(
          elements.map((element) => JSON.parse(element)),
          JSON.parse(text),
        ),
        text,
      )
      let from = 0
      for (const element of elements) {
        const at = text.indexOf(element, from)
        assert.ok(at >= from, `${element} does not stand in ${text} after offset ${from}`)
        assert.is(element, element.trim())
        from = at + element.length
      }
    }),
    { numRuns: runs(300, 3_000) },
  )
})

splitting.run()
