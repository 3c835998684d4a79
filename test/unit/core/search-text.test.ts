import * as assert from 'uvu/assert'
import {
  eventGram,
  extractSnippet,
  gramQuery,
  matchesTerms,
  parseSearchTerms,
  searchableText,
} from '../../../src/core/search-text.ts'
import { measureGrowth } from '../../support/harness/processor-time.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the text of a search')

test('a query has words and phrases, in any case; one that an index cannot find is refused', () => {
  assert.equal(parseSearchTerms(' 203.0.113.7  Blocked blocked '), ['203.0.113.7', 'blocked'])
  assert.equal(parseSearchTerms('"Lateral\n movement" host'), ['lateral movement', 'host'])
  assert.equal(parseSearchTerms('"open end'), ['open end'])
  assert.equal(parseSearchTerms('a 攻击'), ['a', '攻击'])
  for (const refused of ['', ' ', 'a', '"a b" c', '""', Array.from({ length: 21 }, (_, n) => `word${n}`).join(' ')]) {
    assert.is(parseSearchTerms(refused), null, refused)
  }
})

test('values and the names of nested fields are searched, the names of top fields are not', () => {
  const text = searchableText(
    '{"message_from":"_captain","message_content":{"src_ip":["10.0.0.1",{"port":22}]},"n":true}',
  )
  assert.is(text, 'src_ip: 10.0.0.1 port: 22 _captain')
})

test('escapes, escapes within JSON in a string, and all digits of a number are decoded', () => {
  const inner = JSON.stringify({ note: '攻击' }).replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16)}`)
  assert.match(searchableText('{"message_content":"\\u653b\\u51fb\\tC:\\\\u0041"}'), /^攻击 C:\\u0041$/)
  assert.match(searchableText(JSON.stringify({ message_content: inner })), /攻击/)
  assert.match(searchableText('{"playbook_id":12302548181076029}'), /12302548181076029/)
  assert.match(searchableText('{"message_content":"a\\n\\u0000  b"}'), /^a b$/)
})

test('a run of backslashes costs time linear in its length', () => {
  const growth = measureGrowth((size) => {
    searchableText(JSON.stringify({ message_content: `\\u${'\\'.repeat(size)}` }))
  }, 20_000)
  assert.ok(growth < 40, `ten times the backslashes take ${growth} times the processor`)
})

test('JSON that is nested too deeply is searched as it is', () => {
  const depth = 200_000
  const body = `{"message_content":${'['.repeat(depth)}"needle"${']'.repeat(depth)}}`
  assert.ok(matchesTerms(searchableText(body), ['needle']))
})

test('a word of two characters never looks into the index beyond the events of a search', () => {
  const event = `("${eventGram('e')}")`
  assert.is(gramQuery(['ab', '攻击'], ['e']), event)
  assert.is(gramQuery(['ab abc'], ['e']), `${event} AND "abc"`)
  assert.is(gramQuery(['ab abc'], '*'), '"ab" * AND "abc"')
})

test('a snippet has the first match and ends with marks where it was cut', () => {
  const text = `${'before '.repeat(40)}NEEDLE${' after'.repeat(60)}`
  const snippet = extractSnippet(text, ['needle'])
  assert.match(snippet, /^….*before NEEDLE after.*…$/)
  assert.ok(snippet.length < 250, snippet)
  assert.is(extractSnippet('short needle', ['needle']), 'short needle')
  // The lower case of İ has two characters.
  assert.match(extractSnippet(`${'İ'.repeat(80)} needle`, ['needle']), /needle$/)
})

test.run()
