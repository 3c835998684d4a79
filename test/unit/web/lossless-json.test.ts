import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import * as withSource from '../../../src/web/page/shared/lossless-json.ts'
import { suite } from '../../support/harness/suite.ts'
import { runs } from '../../support/harness/tier.ts'

/** The module as loaded by a browser whose JSON.parse passes no source text to the reviver. */
const importWithoutSource = async (): Promise<typeof withSource> => {
  const native = JSON.parse
  JSON.parse = (text, reviver) => native(text, reviver && ((key, value) => reviver(key, value)))
  try {
    const another: string = '../../../src/web/page/shared/lossless-json.ts?without-source'
    return await import(another)
  } finally {
    JSON.parse = native
  }
}

const PATHS = { 'with source text': withSource, 'without source text': await importWithoutSource() }

const number = fc.stringMatching(/^-?(0|[1-9]\d{0,20})(\.\d{1,25})?([eE][+-]?\d{1,3})?$/)
const string = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
  fc.constantFrom('"\\ue00012345"', '"\ue00012345"', '"\\u0000\\u0000"', '"\\\\\\""', '"-1.10"', '"\\ud83d"', '"],}{"'),
)
const key = fc.oneof(string, fc.constantFrom('"__proto__"', '"constructor"', '"toString"', '""'))
const literal = fc.constantFrom('true', 'false', 'null')
const space = fc.stringMatching(/^[ \t\n\r]{0,2}$/)

/** Generates JSON texts with these `keys` and with white space `between` tokens. */
const texts = (keys: fc.Arbitrary<string>, between: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.letrec<{ value: string }>((tie) => {
    const spaced = (token: string): fc.Arbitrary<string> => fc.tuple(between, between).map((two) => two.join(token))
    const item = tie('value')
    const pair = fc.tuple(keys, spaced(':'), item).map((parts) => parts.join(''))
    const list = (items: fc.Arbitrary<readonly string[]>, open: string, close: string): fc.Arbitrary<string> =>
      fc
        .tuple(spaced(open), items, spaced(','), spaced(close))
        .map(([begin, all, comma, end]) => begin + all.join(comma) + end)
    const pairs = fc.uniqueArray(pair, { maxLength: 4, selector: (text) => text.slice(0, text.search(/"\s*:/)) })
    return {
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        number,
        string,
        literal,
        list(fc.array(item, { maxLength: 4 }), '[', ']'),
        list(pairs, '{', '}'),
      ),
    }
  }).value

const withoutSpace = (json: string): string => json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1')

for (const [path, { parseLosslessJson, stringifyLosslessJson, LosslessNumber }] of Object.entries(PATHS)) {
  const json = suite(`JSON that loses nothing, ${path}`)

  json('every digit and every character is preserved', () => {
    const both = ['"\\ue00012345"', '"\ue00012345"'].map((b) => `{"a":12302548181076029,"b":${b},"c":1.10}`)
    for (const text of both) {
      const printed = stringifyLosslessJson(parseLosslessJson(text))
      assert.is(printed, '{\n  "a": 12302548181076029,\n  "b": "\ue00012345",\n  "c": 1.10\n}')
    }
    const numbers = ['-0', '0', '-0.0', '1e400', '-1E+400', '1.0', '9007199254740993', '0.10000000000000000001', '7']
    assert.is(withoutSpace(stringifyLosslessJson(parseLosslessJson(`[${numbers}]`))), `[${numbers}]`)
  })

  json('a number is a number if JavaScript prints it as written, or else a LosslessNumber', () => {
    assert.equal(parseLosslessJson('[7,-1.5,1e21]'), [7, -1.5, new LosslessNumber('1e21')])
    assert.is((parseLosslessJson('1.10') as InstanceType<typeof LosslessNumber>).text, '1.10')
  })

  json('of equal keys the last one counts, and __proto__ is a key like any other', () => {
    const twice = parseLosslessJson('{"a":1.0,"b":2,"a":3.0}')
    assert.is(withoutSpace(stringifyLosslessJson(twice)), '{"a":3.0,"b":2}')
    const proto = parseLosslessJson('{"__proto__":{"x":1.0},"constructor":-0}') as object
    assert.is(Object.getPrototypeOf(proto), Object.prototype)
    assert.is(withoutSpace(stringifyLosslessJson(proto)), '{"__proto__":{"x":1.0},"constructor":-0}')
  })

  json('a value nested too deeply is returned as its text', () => {
    const deep = `${'['.repeat(200_000)}1.0${']'.repeat(200_000)}`
    assert.is(parseLosslessJson(deep), deep)
  })

  json('any text means after printing what it meant before', () => {
    fc.assert(
      fc.property(texts(key, space), (text) => {
        const printed = stringifyLosslessJson(parseLosslessJson(text))
        assert.ok(isDeepStrictEqual(JSON.parse(printed), JSON.parse(text)), printed)
      }),
      { numRuns: runs(300, 2_000) },
    )
  })

  json('any text keeps its numbers as they are written', () => {
    // Other strings can be written in several ways, and keys that are integers come first in any object.
    const plain = fc.stringMatching(/^[a-z\ue000]{1,3}$/).map((name) => `"${name}"`)
    fc.assert(
      fc.property(texts(plain, fc.constant('')), (text) => {
        const strings = text.replace(/"(?:[^"\\]|\\.)*"/g, (one) => JSON.stringify(JSON.parse(one)))
        assert.is(withoutSpace(stringifyLosslessJson(parseLosslessJson(text))), strings)
      }),
      { numRuns: runs(300, 2_000) },
    )
  })

  json('text is rejected exactly if JSON.parse rejects it', () => {
    const refuses = (parse: (text: string) => unknown, text: string): boolean => {
      try {
        parse(text)
        return false
      } catch (error) {
        assert.instance(error, SyntaxError)
        return true
      }
    }
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]":,01-+.eE \\untrfals') }), (text) => {
        assert.is(refuses(parseLosslessJson, text), refuses(JSON.parse, text), text)
      }),
      { numRuns: runs(500, 5_000) },
    )
  })

  json.run()
}
