import { marked } from 'marked'
import * as assert from 'uvu/assert'
import type { Entry } from '../../../src/web/page/room/model/entry.ts'

// The texts follow the language of the document, which does not exist here.
Object.assign(globalThis, { document: { documentElement: {} } })
const { language } = await import('../../../src/web/page/shared/i18n.ts')
const { toEntry } = await import('../../../src/web/page/room/model/entry.ts')
const { EMPTY_FILTER } = await import('../../../src/web/page/room/model/filter.ts')
const { toExcerpt } = await import('../../../src/web/page/room/report/blocks.ts')
const { cssString, htmlFile, htmlPieces, pageRule } = await import('../../../src/web/page/room/report/html.ts')
const { markdownPieces } = await import('../../../src/web/page/room/report/markdown.ts')
const { codeBlock, escapeMarkdown, plainMarkdown, safeMarkdown } = await import(
  '../../../src/web/page/room/report/safe-markdown.ts'
)
const { suite } = await import('../../support/harness/suite.ts')
const { HOSTILE_MARKDOWN, HOSTILE_TEXTS, hostileMessages } = await import('../../support/stages/hostile-texts.ts')
const { FIXTURE } = await import('../../support/stages/stage.ts')

const test = suite('a report of a war room')
test.before.each(() => language.set('en'))

const HEAD = {
  eventId: 'event-1',
  name: 'SSH brute force',
  severity: 'high',
  status: 'completed',
  total: null,
  filter: EMPTY_FILTER,
  url: 'https://gateway.example/events/event-1',
  at: Date.UTC(2026, 10, 22, 12),
}

const entriesOf = (messages: readonly object[]): Entry[] =>
  messages.map((message, index) => {
    const whole = { received_at: '2026-11-22T10:00:00.000Z', ...message, db_id: index + 1 }
    return toEntry(whole, JSON.stringify(whole))
  })

const htmlOf = (messages: readonly object[], head: object = {}): string =>
  [...htmlPieces({ ...HEAD, ...head }, entriesOf(messages))].join('\n')

const markdownOf = (messages: readonly object[], head: object = {}): string =>
  [...markdownPieces({ ...HEAD, ...head }, entriesOf(messages))].join('')

const SHOWN = [
  {
    message_from: '_captain',
    message_type: 'llm_response',
    round_id: 1,
    message_content: {
      data: {
        response_text: 'go',
        tasks: [{ task_id: 't-1', task_name: 'Block it', task_assignee: '_manager', task_type: 'write' }],
      },
    },
  },
  {
    message_from: '_executor',
    message_type: 'command_result',
    round_id: 2,
    message_content: {
      data: {
        command_name: 'block_ip',
        status: 'failed',
        ai_summary: '**blocked**',
        result: { playbook_id: 7, lines: 'one\ntwo' },
      },
    },
  },
  {
    message_from: '_expert',
    message_type: 'event_summary_generated',
    round_id: 2,
    message_content: { data: { event_summary: '# Sum\n- **a**\n- `b`', event_suggestion: 'next' } },
  },
  {
    message_from: '_manager',
    message_type: 'error_action_creation',
    round_id: 2,
    message_content: { data: { text: 'failed_here' } },
  },
]

test('has a heading with the facts of the event, sections by round, and every part of each message', () => {
  const html = htmlOf(SHOWN)
  assert.match(html, '<h1 dir="auto">SSH brute force</h1>')
  for (const fact of ['event-1', 'high', 'completed', HEAD.url]) assert.match(html, `<dd>${fact}</dd>`)
  assert.match(html, '<dt>Messages</dt><dd>4; older ones are not loaded</dd>')
  assert.equal(
    [...html.matchAll(/<h2>(.*?)<\/h2>/g)].map(([, title]) => title),
    ['Round 1', 'Round 2'],
  )
  for (const part of [
    'Captain',
    'go',
    'Block it',
    'for Manager',
    'task t-1',
    'block_ip',
    '<strong>blocked</strong>',
    '&quot;playbook_id&quot;: 7',
    'Suggestion',
    'next',
    'Error',
    'failed_here',
  ])
    assert.match(html, part)
  assert.match(html, '<article id="message-4" data-tone="error">')
  assert.match(html, /<h3 data-depth="1">Sum<\/h3>\s*<ul>/)
})

test('is Markdown with the same content and its formatting', () => {
  const text = markdownOf(SHOWN)
  assert.ok(text.startsWith('# SSH brute force\n\n- Event: event-1\n- Severity: high\n'))
  for (const part of [
    '## Round 1\n\n### #1 · Captain · tasks\n',
    '**Block it** `write`',
    '```json\n{\n  "playbook_id": 7,',
    '#### Sum\n\n- **a**\n- `b`\n',
    '*Suggestion*\n\nnext\n',
    '### #4 · Manager · Error · action not created\n',
    '\nfailed_here\n',
  ])
    assert.match(text, part)
})

test('describes the filter and the number of messages that match it', () => {
  const filter = { ...EMPTY_FILTER, roles: new Set(['captain'] as const), text: ' <b>203.0.113.7 ', attention: true }
  const html = htmlOf(SHOWN.slice(0, 1), { filter, total: 4 })
  assert.match(html, '<dd>1 of 4</dd>')
  assert.match(html, '<dd>Captain · “&lt;b&gt;203.0.113.7” · needs attention</dd>')
  assert.match(htmlOf([], { filter, total: 4 }), 'No messages.')
})

test('has its labels in the language of the page', () => {
  language.set('zh')
  const both = [htmlOf(SHOWN, { total: 4 }), markdownOf(SHOWN, { total: 4 })]
  for (const text of both) for (const label of ['严重程度', '安全指挥官', '第 2 轮', '建议']) assert.match(text, label)
})

test('contains every message of DeepSOC, digit for digit', () => {
  const entries = FIXTURE.map((line, index) => toEntry({ ...JSON.parse(line), db_id: index + 1 }, line))
  for (const pieces of [htmlPieces, markdownPieces]) {
    const text = [...pieces({ ...HEAD, total: null }, entries)].join('')
    for (const { id } of entries) assert.match(text, `#${id}`)
    for (const [digits] of FIXTURE.join().matchAll(/(?<="playbook_id": ?)\d+/g)) assert.match(text, digits)
  }
})

/** Elements that a report consists of. */
const ELEMENTS =
  'header h1 h2 h3 h4 h5 h6 dl dt dd div article span time p br strong em del code pre ul ol li blockquote hr table thead tbody tr th td'.split(
    ' ',
  )

/** Returns what an HTML parser would take for anything but the elements and attributes of a report. */
const oddTags = (html: string): string[] =>
  [...html.matchAll(/<[a-zA-Z/!?][^>]*>?/g)]
    .map(([tag]) => tag)
    .filter((tag) => {
      const [, name, attributes] = /^<\/?([a-z0-9]+)((?: [a-z-]+="[^"<>]*")*)>$/.exec(tag) ?? []
      const names = [...(attributes ?? '').matchAll(/ ([a-z-]+)=/g)].map(([, one]) => one!)
      return (
        !ELEMENTS.includes(name ?? '') ||
        names.some(
          (one) => !['id', 'class', 'dir', 'datetime', 'data-tone', 'data-depth', 'start', 'align'].includes(one),
        )
      )
    })

const MARKDOWN_MESSAGES = Object.values(HOSTILE_MARKDOWN).map(([content]) => ({
  message_from: 'ai_assistant',
  message_type: 'chat',
  message_content: { content },
}))

test('in HTML contains hostile text in any field only as text', () => {
  for (const text of Object.values(HOSTILE_TEXTS)) {
    const head = { name: text, eventId: text, severity: text, status: text, url: text }
    assert.equal(oddTags(htmlOf(hostileMessages(text), head)), [], text)
  }
  assert.equal(oddTags(htmlOf(MARKDOWN_MESSAGES)), [])
})

test('in Markdown contains hostile text in any field only as text: no HTML, links or images in a viewer', () => {
  const view = (text: string): string =>
    (marked.parse(text, { async: false, gfm: true }) as string).replaceAll(/<input [^>]*type="checkbox"[^>]*>/g, '')
  for (const text of Object.values(HOSTILE_TEXTS)) {
    const head = { name: text, eventId: text, severity: text, status: text, url: text }
    const shown = view(markdownOf(hostileMessages(text), head))
    assert.equal(oddTags(shown), [], text)
    assert.is(shown.match(/<h3>/g)?.length, hostileMessages(text).length, 'no message looks like two')
  }
  assert.equal(oddTags(view(markdownOf(MARKDOWN_MESSAGES))), [])
  const forged =
    '# head\n## Round 9\n### #7 · Captain\n- a\n1. b\n> c\n```\nd\n===\n---\nsnake_case __x__ $a$ a@b.c www.d.example https://e.example [l](javascript:alert(1)) ![i](//e.example/i.png)'
  assert.equal(oddTags(view(plainMarkdown(forged))).length, 0)
  assert.not.match(view(plainMarkdown(forged)), /<(h\d|li|blockquote|pre|hr|strong|em|a |img )/)
  assert.match(plainMarkdown(forged), 'snake_case')
})

test('keeps text from ending a code block, and indented lines from being lost', () => {
  assert.is(codeBlock('a\n````\nb'), '`````\na\n````\nb\n`````\n\n')
  assert.is(plainMarkdown('Traceback:\n  File "x"'), '```\nTraceback:\n  File "x"\n```\n\n')
  assert.is(escapeMarkdown('1. a_b *c* <d>'), '1\\. a_b \\*c\\* \\<d\\>')
  assert.is(safeMarkdown('> a\n> b\n\n2. c\n   - d'), '> a  \n> b\n\n2. c\n   - d\n\n')
  assert.match(safeMarkdown('|a|b|\n|-|-|\n|`x\\|y`|[t](u)|'), '| a | b |\n| --- | --- |\n| `x\\|y` | t `u` |\n')
})

test('as a file has a policy that allows its own style only, which no name of an event can end', () => {
  const name = '"; } </style><script>alert(1)</script> \\'
  const file = htmlFile({
    head: { ...HEAD, name, eventId: name },
    body: ['<p>body</p>'],
    style: '.report { color: red } </style>',
    nonce: 'n0nce',
    lang: 'en',
  }).join('')
  assert.match(file, `content="default-src 'none'; style-src 'nonce-n0nce'; base-uri 'none'; form-action 'none'"`)
  assert.is(file.match(/<\/style/gi)?.length, 1)
  assert.not.match(file, /<script/i)
  assert.match(file, '<title>&quot;; } &lt;/style&gt;')
  assert.is(cssString('a"\\\n<安 1'), '"a\\22 \\5c \\a \\3c 安 1"')
  assert.match(pageRule(HEAD), '@top-left { content: "SSH brute force";')
})

test('shortens a message to one line for a notification', () => {
  const [entry] = entriesOf([{ message_type: 'x', message_content: { data: { text: `a\n b ${'😀'.repeat(20)}` } } }])
  assert.is(toExcerpt(entry!, 7), 'a b 😀…')
  assert.is(toExcerpt(entriesOf(SHOWN)[1]!, 20), 'block_ip **blocked**…')
})

test('contains JSON that is nested too deeply to be formatted as it was published', () => {
  const deep = `{"message_content":${'['.repeat(20_000)}${']'.repeat(20_000)},"db_id":1}`
  const entry = toEntry({ db_id: 1 }, deep)
  assert.match([...htmlPieces(HEAD, [entry])].join(''), '['.repeat(20_000))
})

test.run()
