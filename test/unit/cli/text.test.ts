import { Readable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import * as assert from 'uvu/assert'
import { parseSinceFlag } from '../../../src/cli/command.ts'
import { type InputLine, readLines } from '../../../src/cli/publish/lines.ts'
import { formatMessage, type LineStyle } from '../../../src/cli/tail/message-line.ts'
import { createStyler } from '../../../src/cli/terminal/colours.ts'
import {
  escapeForTerminal,
  getDisplayWidth,
  truncate,
  visibleBytes,
  visibleJson,
  wrap,
} from '../../../src/cli/terminal/escape.ts'
import { ProgressReporter, progressLine } from '../../../src/cli/terminal/progress.ts'
import { suite } from '../../support/harness/suite.ts'

const text = suite('text for people')

/** Sequences that clear, retitle, recolour or reorder a terminal. */
const HOSTILE = '\x1b[2J\x1b]0;owned\x07 a\u009b31mb\r\nc\u202eevil\u2066x\u200bz\u2028\ufeff\u{e0041}\ud800\x7f'

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const OBEYED = /[\0-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\u{e0041}]|\p{Cs}/u

text('no terminal control sequence gets through', () => {
  assert.not.match(escapeForTerminal(HOSTILE), OBEYED)
  assert.match(escapeForTerminal(HOSTILE), '\\x1b[2J')
  assert.match(escapeForTerminal(HOSTILE), '\\u202eevil')
  assert.is(escapeForTerminal('中文 – café ✓ 👩‍🚒'), '中文 – café ✓ 👩‍🚒')
})

text('JSON keeps its value when it is made visible', () => {
  const json = '{"a":"\u009b31m\u202e\u{e0041}\x7f","n":12302548181076029}'
  assert.not.match(visibleJson(json), OBEYED)
  assert.equal(JSON.parse(visibleJson(json)), JSON.parse(json))
  assert.match(visibleJson(json), '12302548181076029')
})

text('bytes that are not UTF-8 are printed one by one', () => {
  const bytes = Buffer.concat([Buffer.from('中\x1b['), Buffer.from([0xff, 0xe4, 0xb8]), Buffer.from('文\n👍')])
  assert.is(visibleBytes(bytes), '中\\x1b[\\xff\\xe4\\xb8文\n👍')
  assert.is(visibleBytes(Buffer.from('\xed\xa0\x80\xc0\xaf\xf5', 'latin1')), '\\xed\\xa0\\x80\\xc0\\xaf\\xf5')
})

text('wide characters take two columns, and a cut text fits', () => {
  assert.is(getDisplayWidth('ab中文'), 6)
  assert.is(truncate('ab中文', 6), 'ab中文')
  for (const columns of [1, 2, 3, 4, 5, 10]) assert.ok(getDisplayWidth(truncate('中文中文中文', columns)) <= columns)
  assert.is(truncate('x'.repeat(1e6), 5), 'xxxx…')
})

text('a wrapped text fits, breaks at spaces where it can, and loses no word', () => {
  assert.equal(wrap('one two  three', 8), ['one two', 'three'])
  assert.equal(wrap('one two', 7), ['one two'])
  assert.equal(wrap('  indented', 6), ['  inde', 'nted'])
  assert.equal(wrap('中文中文', 5), ['中文', '中文'])
  assert.equal(wrap('', 5), [''])
  const words = 'a bc  def 中文 👩‍🚒 xxxxxxxxxxxxxxxxxxxxxxxxx é '.repeat(20).trim()
  for (const columns of [2, 3, 7, 40]) {
    const lines = wrap(words, columns)
    assert.is(lines.join('').replaceAll(' ', ''), words.replaceAll(' ', ''))
    for (const line of lines) assert.ok(getDisplayWidth(line) <= columns, line)
  }
})

const PLAIN: LineStyle = {
  applyStyle: createStyler(false),
  columns: Number.POSITIVE_INFINITY,
  withEvent: false,
  full: false,
  utc: false,
}

const shown = (fields: object, style: Partial<LineStyle> = {}) =>
  formatMessage(JSON.stringify({ event_id: 'e', received_at: '2026-11-22T10:00:00.123Z', db_id: 7, ...fields }), {
    ...PLAIN,
    ...style,
  })

text('a message is one line with its summary, whatever its format', () => {
  for (const [content, gist] of [
    ['hello', 'hello'],
    [{ data: { text: 'a\n b' } }, 'a b'],
    [{ data: 'plain' }, 'plain'],
    [
      { data: { response_type: 'TASK', response_text: 'go', tasks: [{ task_name: 't', task_assignee: '_m' }] } },
      'TASK: go → @m t',
    ],
    [{ data: { command_name: 'c', status: 'failed', result: { error: 'x' } } }, 'c failed: {"error":"x"}'],
    [{ content: '**b**' }, '**b**'],
    [{ type: 'text', text: 'typed' }, 'typed'],
    [[1, null], '[1,null]'],
    [null, ''],
    [7, '7'],
  ] as const) {
    const line = shown({ message_from: '_captain', message_type: 'chat', message_content: content })
    assert.match(line, /^\d\d:\d\d:\d\d {6}#7 captain {3}chat/)
    assert.ok(line.endsWith(gist), `${JSON.stringify(content)}: ${line}`)
  }
})

text('no name or depth that a publisher can choose crashes the command', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.match(shown({ message_from: name, message_type: name, message_content: 'x' }), `#7 ${name}`)
  }
  for (const content of [
    '['.repeat(400_000) + ']'.repeat(400_000),
    `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
  ]) {
    for (const [columns, full] of [
      [80, false],
      [80, true],
      [Number.POSITIVE_INFINITY, false],
    ] as const) {
      const data = `{"message_from":"_captain","message_content":${content},"n":12302548181076029,"db_id":7}`
      const line = formatMessage(data, { ...PLAIN, columns, full })
      assert.match(line, /#7 captain .*\s*\{"message_from":"_captain"/)
    }
  }
})

text('numbers of an unknown shape are shown digit for digit', () => {
  const data = '{"db_id":7,"message_content":{"n":12302548181076029,"r":1.10}}'
  assert.match(formatMessage(data, PLAIN), '{"n":12302548181076029,"r":1.10}')
  assert.match(formatMessage(data, { ...PLAIN, full: true }), /n: 12302548181076029\n +r: 1\.10$/)
})

text('a hostile message fits the terminal and controls nothing but colours', () => {
  const fields = { message_from: HOSTILE, message_type: HOSTILE, message_content: HOSTILE.repeat(50) }
  for (const full of [false, true]) {
    const message = shown(fields, { applyStyle: createStyler(true), columns: 100, full })
    for (const line of message.split('\n')) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours
      const bare = line.replace(/\x1b\[[\d;]*m/g, '')
      assert.not.match(bare, OBEYED)
      assert.ok(getDisplayWidth(bare) <= 100, bare)
      assert.not.match(stripVTControlCharacters(line), OBEYED)
    }
  }
})

text('on a terminal a text is wrapped beside the columns, or below them if there is little room', () => {
  const fields = { message_from: '_captain', message_type: 'chat', message_content: 'word '.repeat(30) }
  const wide = shown(fields, { columns: 120 }).split('\n')
  assert.equal(
    wide.map((line) => [line.indexOf('word'), line.match(/word/g)?.length]),
    [
      [50, 14],
      [50, 14],
      [50, 2],
    ],
  )
  const narrow = shown(fields, { columns: 80 }).split('\n')
  assert.match(narrow[0]!, /#7 captain {3}chat$/)
  assert.equal(
    narrow.slice(1).map((line) => [line.indexOf('word'), line.match(/word/g)?.length]),
    [
      [4, 15],
      [4, 15],
    ],
  )
  assert.match(shown({ ...fields, message_content: 'short' }, { columns: 80 }), /chat +short$/)
})

text('a summary ends after ten lines, and --full prints all of them', () => {
  const message_content = Array.from({ length: 400 }, (_, n) => `line ${n}`).join('\n')
  const cut = shown({ message_content }, { columns: 120 }).split('\n')
  assert.is(cut.length, 10)
  assert.match(cut.at(-1)!, /…$/)
  assert.ok(cut.every((line) => getDisplayWidth(line) < 120))
  const full = shown({ message_content }, { columns: 120, full: true }).split('\n')
  assert.is(full.length, 400)
  assert.match(full.at(-1)!, /^ +line 399$/)
  assert.is(shown({ message_content }, { full: true }).split('\n').length, 401)
})

text('--full lays out JSON with a key per line, and --utc prints the date', () => {
  const message_content = { data: { response_text: 'one\n\ttwo', tasks: [{ name: 't', of: 1.5 }, 'x'], none: [] } }
  const lines = shown({ message_from: '_captain', message_content }, { full: true, utc: true }).split('\n')
  assert.match(lines[0]!, /^2026-11-22 10:00:00Z {6}#7 captain/)
  assert.equal(lines.slice(1), [
    '    data:',
    '      response_text:',
    '        one',
    '          two',
    '      tasks:',
    '        - name: t',
    '          of: 1.5',
    '        - x',
    '      none: []',
  ])
})

const lines = suite('lines of input')

const cut = async (chunks: (string | Buffer)[], most = 10): Promise<InputLine[]> => {
  const all: InputLine[] = []
  for await (const line of readLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), most)) all.push(line)
  return all
}

lines('are split correctly wherever the chunks end', async () => {
  const whole = Buffer.from('ab\n\n中c\nlast')
  for (let size = 1; size <= whole.length; size++) {
    const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
      whole.subarray(i * size, (i + 1) * size),
    )
    const seen = await cut(chunks)
    assert.equal(
      seen.map((line) => ('bytes' in line ? line.bytes.toString() : null)),
      ['ab', '', '中c', 'last'],
    )
    assert.equal(
      seen.map(({ number }) => number),
      [1, 2, 3, 4],
    )
    assert.equal(seen.at(-1)!.end, whole.length)
  }
})

lines('that are too long are reported with their size and not buffered', async () => {
  const [first, second] = await cut(['x'.repeat(8), 'x'.repeat(8), 'x\nok\n'])
  assert.equal(first, { number: 1, tooLong: 17, end: 18 })
  assert.is('bytes' in second! && second.bytes.toString(), 'ok')
})

const work = suite('progress')

work('shows count, rate, share and what is left', () => {
  const line = progressLine({ label: 'replaying', done: 500, total: 1_000, failed: 2 }, 100)
  assert.is(line, '[############............] replaying 500 of 1,000, 100/s, 2 failed, 5 s left')
  assert.is(progressLine({ label: 'publishing', done: 1_500, total: null, failed: 0 }, 300), 'publishing 1,500, 300/s')
  assert.match(
    progressLine({ label: 'x', done: 30, total: null, share: 0.25, failed: 0 }, 10),
    /^\[#{6}\.{18}\] .*9 s left$/,
  )
})

work('is drawn ten times a second at most, wiped before other lines, and never off a terminal', () => {
  let written = ''
  const screen = (isTerminal: boolean) => ({ isTerminal, columns: 80, print: (part: string) => void (written += part) })
  const bar = new ProgressReporter(screen(true))
  for (let now = 0; now < 1_000; now += 10) bar.show({ label: 'x', done: now, total: null, failed: 0 }, now)
  assert.is(written.split('\r').length - 1, 10)
  bar.clear()
  assert.ok(written.endsWith('\r\x1b[K'))
  written = ''
  bar.clear()
  new ProgressReporter(screen(false)).show({ label: 'x', done: 1, total: 2, failed: 0 })
  assert.is(written, '')
})

work('a time is an age or a date', () => {
  const now = Date.parse('2026-11-22T10:00:00Z')
  assert.is(parseSinceFlag('90s', now), now - 90_000)
  assert.is(parseSinceFlag('7d', now), now - 7 * 86_400_000)
  assert.is(parseSinceFlag('2026-11-21T10:00:00Z', now), now - 86_400_000)
  for (const bad of ['yesterday', '7', '7y', '', '2026-99-99'])
    assert.throws(() => parseSinceFlag(bad, now), /--since must be/)
})

text.run()
lines.run()
work.run()
