// needs: chromium
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, postJson, until } from '../../support/harness/wait.ts'
import { ROOT } from '../../support/servers/gateway.ts'
import { getElementText, getElementTexts, isState, setUpSite } from '../../support/stages/pages.ts'
import { below, holds, row, seenIds, sees } from '../../support/stages/room-page.ts'
import { chat, chats, eventUrl, newRoom, publish } from '../../support/stages/rooms.ts'

const test = suite('the war room')
const site = setUpSite(test)

/** Publishes, opens the room, and waits until it is live. */
const roomOf = async (messages: Json, options = {}): Promise<{ page: Page; ids: number[]; event_id: string }> => {
  const event_id = newRoom()
  const ids = await publish(site.gateway, event_id, messages)
  const page = await site.pages.room(event_id, options)
  await isState(page, 'live')
  return { page, ids, event_id }
}

const body = (id: number | undefined): string => `${row(id)} .body`

test('shows the newest messages first, then older history, then live messages', async () => {
  const { page, ids, event_id } = await roomOf(chats(400))
  await sees(page, ids.at(-1))
  assert.is(await getElementText(page, '#state summary'), 'Live ')
  assert.is(await getElementText(page, body(ids.at(-1))), 'message 400')
  ids.push(...(await publish(site.gateway, event_id, [chat(401), chat(402)])))
  await sees(page, ids.at(-1))
  await holds(page, ids)
  assert.is(await page.title(), `${event_id} – deepsoc-gateway`)
  // The browser can search, select and print all of them.
  await until(async () => (await page.locator('.row').count()) === ids.length, { what: 'all rows in the document' })
  await page.evaluate(() => getSelection()!.selectAllChildren(document.getElementById('box')!))
  const selected = (): Promise<string> => page.evaluate(() => getSelection()!.toString())
  await until(async () => /message 1\n[\s\S]*message 402/.test(await selected()), {
    what: 'the text of all',
    saw: selected,
  })
  assert.is(await page.locator('#windowed').count(), 0)
})

test.full('shows that an event has no messages, and then its first one', async () => {
  const { page, event_id } = await roomOf([])
  assert.match(await getElementText(page, '#empty'), 'No messages in this event yet')
  const ids = await publish(site.gateway, event_id, chat(1))
  await holds(page, ids)
  assert.is(await page.locator('#empty').count(), 0)
})

const fixture = (): string[] =>
  readFileSync(join(ROOT, 'test/fixtures/messages.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.replace(/"event_id":"[^"]*",("user_id")/, '$1'))

test('shows what the agents of DeepSOC send: orders as lists, results as JSON, summaries as markdown', async () => {
  const event_id = newRoom()
  const { body: answer } = await postJson(`${eventUrl(site.gateway, event_id)}/messages`, `[${fixture().join(',')}]`)
  const ids: number[] = answer.data.map(({ db_id }: Json) => db_id)
  const page = await site.pages.room(event_id, { viewport: { width: 1280, height: 3_000 } })
  await isState(page, 'live')
  await sees(page, ids[0])
  const texts = await Promise.all(ids.map(async (id) => (await getElementText(page, body(id))).trim()))
  const [notice, tasks, actions, action, commands, command, result, execution, event, chatted] = texts as string[]
  assert.is(notice, '指挥官正在分析')
  assert.match(tasks!, /^先取证\n再封禁查询203\.0\.113\.9情报queryfor Analyst$/)
  assert.match(actions!, /剧本查情报queryfor Operatortask a1f0c2d4…/)
  assert.match(action!, /^已建行动剧本查情报querypendingfor Operatortask a1f0c2d4…action c7e2b9d0…$/)
  assert.match(commands!, /^查情报playbookfor Executor[\s\S]*playbook_id: 12302548181076029[\s\S]*203\.0\.113\.9/)
  assert.match(command!, /^已建指令查情报playbookpending.*command e94d1a63…[\s\S]*12302548181076029/)
  assert.match(result!, /^查情报playbookfailed[\s\S]*error: "timeout"/)
  assert.match(execution!, /恶意IP/)
  assert.is(await getElementText(page, `${body(ids[7])} strong`), '恶意IP')
  assert.match(event!, /^summarized[\s\S]*概述/)
  assert.match(event!, 'summary 5d2f7c18…')
  assert.is(await getElementText(page, `${body(ids[8])} h3`), '概述')
  assert.is(await page.locator(`${body(ids[9])} .markdown`).count(), 1)
  assert.is(chatted, '建议封禁')
  // Hovering over a shortened id shows all of it.
  const hint = await page.getAttribute(`${body(ids[6])} .short-id >> nth=0`, 'title')
  assert.match(hint ?? '', /^\w+_id [0-9a-f-]{36}$/)
  assert.equal((await getElementTexts(page, '.role')).slice(0, 3), ['System', 'Captain', 'Manager'])
  await page.click('#language')
  // A few rows at a time.
  await until(async () => (await page.locator('.role').count()) === ids.length)
  assert.equal(await getElementTexts(page, '.role'), [
    ...['系统', '安全指挥官', '安全管理员', '安全管理员', '安全工程师', '安全工程师', '执行器', '安全专家'],
    ...['安全专家', 'AI助手'],
  ])
  assert.match(await getElementText(page, body(ids[2])), '分配给安全工程师')
})

/** All message types of DeepSOC's agents by sender, with the label that the page shows. */
const SAID: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  system: {
    llm_request: '',
    manager_llm_request: '',
    operator_llm_request: '',
    expert_llm_request_exec_summary: '',
    expert_llm_request_event_summary: '',
    event_next_round_initiated: '',
    system_notification: 'notification',
    chat: 'chat',
  },
  _captain: {
    llm_response: 'tasks',
    llm_roger_response: '',
    event_completed_by_captain: 'completed',
    error_internal: 'internal error',
  },
  _manager: {
    manager_llm_response: 'actions',
    action_created: 'action created',
    error_action_creation: 'action not created',
    llm_unexpected_response: 'unexpected response',
    error_internal: 'internal error',
  },
  _operator: {
    operator_llm_response: 'commands',
    command_created: 'command created',
    error_command_creation: 'command not created',
    llm_unexpected_response: 'unexpected response',
    error_internal: 'internal error',
  },
  _executor: { command_result: 'result' },
  _expert: {
    execution_summary_generated: 'execution summary',
    event_summary_generated: 'event summary',
    error_execution_summary: 'no summary',
  },
  ai_assistant: { chat: 'chat' },
  'f5c0619c-451e-47ec-a665-a2e42c258e24': { chat: 'chat', user_message: 'message' },
}

const ROLE_OF: Readonly<Record<string, string>> = {
  system: 'System',
  _captain: 'Captain',
  _manager: 'Manager',
  _operator: 'Operator',
  _executor: 'Executor',
  _expert: 'Expert',
  ai_assistant: 'AI assistant',
}

test('has a label, an icon and a colour for each role, and marks notices, errors and unexpected responses', async () => {
  const all = Object.entries(SAID).flatMap(([from, types]) => Object.entries(types).map((entry) => [from, ...entry]))
  const said = all.map(([message_from, message_type], n) =>
    chat(n, { message_from: message_from!, message_type: message_type!, round_id: 1 }),
  )
  const { page, ids } = await roomOf(said, { viewport: { width: 1280, height: 3_000 } })
  await sees(page, ids[0])
  const shown = await page.$$eval('.row', (rows) =>
    rows.map((one) => {
      const text = (selector: string): string => one.querySelector(selector)?.textContent ?? ''
      const avatar = one.querySelector('.avatar')!
      const isSeen = one.querySelector('.type')?.checkVisibility() ?? false
      return {
        tone: (one as HTMLElement).dataset.tone,
        role: text('.role'),
        from: text('.from'),
        type: isSeen ? text('.type') : '',
        body: text('.body').trim(),
        mark: text('.mark'),
        colour: getComputedStyle(avatar).color,
        icon: avatar.innerHTML,
      }
    }),
  )
  assert.is(shown.length, all.length)
  const looks = new Map<string, string>()
  const icons = new Map<string, string>()
  for (const [n, [from, type, name]] of all.entries()) {
    const one = shown[n]!
    const what = `${from} ${type}`
    const error = type!.startsWith('error_')
    assert.is(one.role, ROLE_OF[from!] ?? 'User', what)
    assert.is(one.from.slice(0, 8), from! in ROLE_OF ? '' : from!.slice(0, 8), what)
    // The status of the event is in front of the text.
    assert.is(one.body, `${type === 'event_completed_by_captain' ? 'completed' : ''}message ${n}`, what)
    if (name !== '') assert.is(one.type, name, what)
    assert.is(
      one.tone,
      error ? 'error' : name === '' ? 'notice' : type === 'llm_unexpected_response' ? 'warning' : 'plain',
    )
    assert.is(one.mark, error ? 'Error' : one.tone === 'warning' ? 'Unexpected' : '', what)
    if (one.tone === 'plain') looks.set(one.colour, one.role)
    icons.set(one.icon, one.role)
  }
  assert.is(looks.size, 8, 'colours')
  assert.is(icons.size, 8, 'icons')
  const colours = await page.evaluate(() => {
    const style = getComputedStyle(document.documentElement)
    return ['captain', 'manager', 'operator', 'executor', 'expert', 'system', 'ai'].map((role) =>
      style.getPropertyValue(`--role-${role}`).trim(),
    )
  })
  assert.equal(colours, ['#00a8ff', '#1ee280', '#ffcc00', '#9c27b0', '#ff9800', '#607d8b', '#66bb6a'])
})

test('keeps every number as it was written, wherever it is shown, copied or saved', async () => {
  const numbers = ['12302548181076029', '-9007199254740993', '1.0', '1e400', '0.10000000000000000001', '7', '-0']
  const content = `{"data":{"list":[${numbers}],"text":9007199254740993,"s":"1.0 \\" 2.0","\\u0000k":"\\u0000v"}}`
  const result = `{"data":{"command_name":"c","status":"done","result":{"id":${numbers[0]}},"task_id":${numbers[1]}}}`
  const { page, ids } = await roomOf([], { permissions: ['clipboard-read', 'clipboard-write'] })
  const event_id = await getElementText(page, '#title')
  const raws = [
    `{"message_content":${content}}`,
    `{"message_content":${numbers[0]}}`,
    `{"message_type":"command_result","message_content":${result}}`,
  ]
  // A private-use character, escaped and literal.
  for (const b of ['\\ue00012345', '\ue00012345'])
    raws.push(`{"message_content":{"a":12302548181076029,"b":"${b}","c":1.10}}`)
  for (const raw of raws) ids.push(...(await publish(site.gateway, event_id, raw)))
  await holds(page, ids)
  const fields = ['a: 12302548181076029', 'b: "\ue00012345"', 'c: 1.10']
  for (const id of ids.slice(-2)) assert.equal(await getElementTexts(page, `${body(id)} .json-inside > li`), fields)
  assert.equal(await getElementTexts(page, `${body(ids[0])} .json-index + .json-plain`), numbers)
  const first = await getElementText(page, body(ids[0]))
  assert.match(first, 'text: 9007199254740993')
  assert.match(first, 's: "1.0 " 2.0"')
  assert.match(first, /(?<!⟩)⟨U\+0000⟩k: "⟨U\+0000⟩v"/)
  assert.is((await getElementText(page, body(ids[1]))).trim(), numbers[0])
  assert.match(await getElementText(page, body(ids[2])), /id: 12302548181076029/)
  assert.match((await page.getAttribute(`${body(ids[2])} .short-id`, 'title')) ?? '', numbers[1]!)
  await page.hover(row(ids[0]))
  await page.click(`${row(ids[0])} .tool >> nth=0`)
  assert.match(await getElementText(page, `${row(ids[0])} .whole`), '12302548181076029')
  await page.click(`${row(ids[0])} .tool >> nth=1`)
  await page.waitForSelector('#note:has-text("Copied")')
  const copied = await page.evaluate(() => navigator.clipboard.readText())
  assert.ok(copied.startsWith(`{"message_content":${content},"event_id":"${event_id}","message_id":`), copied)
  assert.ok(copied.endsWith(`"db_id":${ids[0]}}`), copied)
})

test.full('shows unknown formats readably', async () => {
  const known = (message_type: string, data: Json): Json => ({
    message_from: '_manager',
    message_type,
    message_content: { data },
  })
  const odd: [message: Json, says: RegExp][] = [
    [{ message_type: 'x', note: 'no content' }, /note: "no content"/],
    [{ message_content: null, note: 'null' }, /note: "null"/],
    [{ message_content: ['a', { b: 'c' }] }, /b: "c"/],
    [{ message_content: 'bare' }, /^bare$/],
    [{ message_content: '', note: 'empty' }, /""/],
    [{ message_content: false }, /false/],
    [{ message_content: {} }, /\{\}/],
    [{ message_content: { data: { content: 'inner', extra: [1] } } }, /^inner.*extra/s],
    [{ content: { data: 'by its other name' }, type: 'chat', source: '_captain' }, /^by its other name$/],
    [known('llm_response', { tasks: 'none', text: 'odd tasks' }), /^odd tasks.*tasks: "none"/s],
    [known('llm_response', { tasks: [1, 'two', null] }), /two/],
    [known('llm_response', { tasks: [], response_type: 'ROGER', response_text: 'heard' }), /^Rogerheard$/],
    [known('llm_response', { tasks: [] }), /tasks/],
    [known('manager_llm_response', { actions: [{ action_name: { deep: 'name' } }] }), /deep: "name"/],
    [known('manager_llm_response', { actions: [{}, { unknown_field: 'kept' }] }), /unknown_field: "kept"/],
    [known('action_created', { action_details: null, text: 'no details' }), /no details/],
    [known('command_result', { status: 7, result: 'plain text' }), /7.*plain text/s],
    [known('command_result', { status: 'done', result: null, note: 'why' }), /null.*note: "why"/s],
    [known('command_result', 'just a line'), /just a line/],
    [known('execution_summary_generated', { ai_summary: 5 }), /ai_summary: 5/],
    [known('event_summary_generated', { event_summary: 'sum', score: 0.5 }), /sum.*score: 0\.5/s],
    [known('of_tomorrow', { a: { b: { c: 'deep' } } }), /c: "deep"/],
    [{ message_content: { data: JSON.parse(`${'['.repeat(500)}"deepest"${']'.repeat(500)}`) } }, /1 item/],
  ]
  const { page, ids } = await roomOf(
    odd.map(([message]) => message),
    { viewport: { width: 1280, height: 6_000 } },
  )
  await sees(page, ids[0])
  for (const [n, [message, says]] of odd.entries()) {
    const text = (await getElementText(page, body(ids[n]))).trim()
    assert.match(text, says, JSON.stringify(message).slice(0, 300))
  }
})

test('keeps the lines of results, shows JSON, tables, logs and code as such, and copies them', async () => {
  const result = (value: Json): Json => ({
    message_from: '_executor',
    message_type: 'command_result',
    message_content: { data: { command_name: 'c', status: 'done', result: value } },
  })
  const says = (message_from: string, text: string, extra = {}): Json => ({
    message_from,
    message_type: 'x',
    message_content: { data: { text, ...extra } },
  })
  const log = Array.from({ length: 40 }, (_, n) => `2026-11-22 10:00:${10 + n} sshd[7]: line ${n}`).join('\n')
  const { page, ids } = await roomOf(
    [
      result('line one\n  line two'),
      result('{"ip":"203.0.113.9","id":12302548181076029}'),
      result([
        { ip: '203.0.113.9', port: 22 },
        { ip: '203.0.113.7', port: 443, state: { deep: 1 } },
      ]),
      result({ stderr: 'a\nb', inner: '{"n":[1,2]}' }),
      says('_expert', log),
      says('_expert', 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no *args*'),
      says('_operator', '**bold** and\nnext', { ai_summary: '- one\n- two', note: 1 }),
      { ...says('ann', '**as typed**'), sender_type: 'user' },
      says('system', '2 * 3 * 4'),
    ],
    { viewport: { width: 1920, height: 3_000 }, permissions: ['clipboard-read', 'clipboard-write'] },
  )
  await sees(page, ids[0])
  const blockOf = (n: number): string => `${body(ids[n])} .block-text`
  assert.is(await page.innerText(blockOf(0)), 'line one\n  line two')
  assert.equal(await getElementTexts(page, `${body(ids[1])} .json-inside > li`), [
    'ip: "203.0.113.9"',
    'id: 12302548181076029',
  ])
  await page.click(`${body(ids[1])} .copy`)
  await page.waitForSelector(`${body(ids[1])} .copy:has-text("Copied")`)
  assert.is(await page.evaluate(() => navigator.clipboard.readText()), '{"ip":"203.0.113.9","id":12302548181076029}')
  assert.equal(await getElementTexts(page, `${body(ids[2])} th`), ['ip', 'port', 'state'])
  assert.equal(await getElementTexts(page, `${body(ids[2])} td`), [
    '203.0.113.9',
    '22',
    '',
    '203.0.113.7',
    '443',
    '{ 1 field }',
  ])
  assert.is(await page.innerText(blockOf(3)), 'a\nb')
  assert.match(await getElementText(page, body(ids[3])), /inner: JSON \{ 1 field \}/)
  assert.is((await page.innerText(blockOf(4))).split('\n').length, 15)
  await page.click(`${body(ids[4])} .more:has-text("Show all 40 lines")`)
  assert.is(await page.innerText(blockOf(4)), log)
  assert.match(await page.innerText(blockOf(5)), '\n  File "a.py"')
  assert.match(await getElementText(page, blockOf(5)), '*args*')
  assert.is(await page.innerText(`${body(ids[6])} strong`), 'bold')
  assert.equal(await getElementTexts(page, `${body(ids[6])} .markdown li`), ['one', 'two'])
  assert.is(await page.innerText(`${body(ids[6])} .details`), 'Details', 'the summary is not there')
  assert.is(await getElementText(page, `${body(ids[7])} .text`), '**as typed**')
  assert.is(await getElementText(page, `${body(ids[8])} .text`), '2 * 3 * 4')
  const { width } = (await page.locator(row(ids[0])).boundingBox())!
  assert.ok(width > 1_500, `a row is ${width} of 1920 pixels wide`)
})

test('shows code in Markdown as other code: folded if it is long, and with a button that copies it', async () => {
  const code = Array.from({ length: 50 }, (_, n) => `${' '.repeat(n % 3)}line_${n} <b> *`).join('\n')
  const says = (field: string, text: string): Json => ({
    message_from: '_expert',
    message_type: 'x',
    message_content: { data: { [field]: text } },
  })
  const listed = `1. Run\n   \`\`\`sh\n   nmap -sV\n   \`\`\`\n2. **Wait**`
  const { page, ids } = await roomOf(
    [says('response_text', `See **this**:\n\`\`\`py\n${code}\n\`\`\`\nThen that.`), says('ai_summary', listed)],
    { viewport: { width: 1280, height: 2_000 }, permissions: ['clipboard-read', 'clipboard-write'] },
  )
  await sees(page, ids[0])
  const [long, short] = ids.map((id) => `${body(id)} .markdown`)
  assert.is((await page.innerText(`${long} .block-text`)).split('\n').length, 15)
  await page.click(`${long} .more:has-text("Show all 50 lines")`)
  assert.is(await page.innerText(`${long} .block-text`), code)
  await page.click(`${long} .copy`)
  await page.waitForSelector(`${long} .copy:has-text("Copied")`)
  assert.is(await page.evaluate(() => navigator.clipboard.readText()), code)
  // A long text ends after a code block, not within it.
  assert.not.match(await getElementText(page, long!), 'Then that.')
  await page.click(`${body(ids[0])} > .more`)
  assert.match(await getElementText(page, long!), 'Then that.')
  assert.is(await page.innerText(`${long} .block-text`), code, 'it is still unfolded')
  assert.is(await page.innerText(`${short} li .block-text`), 'nmap -sV')
  assert.is(await page.innerText(`${short} li strong`), 'Wait')
  await page.click('#language')
  await page.waitForSelector(`${short} .copy[title="复制"]`)
})

test('shows users the message that they post, also when scrolled up, with a note if the filter hides it', async () => {
  const { page, event_id } = await roomOf(chats(100))
  await page.hover('#box')
  await page.mouse.wheel(0, -3_000)
  await page.waitForSelector('#to-end')
  await page.fill('#text', 'here I am')
  await page.press('#text', 'Enter')
  await until(async () => (await below(page)) < 2, { what: 'the end' })
  await page.waitForSelector('.row:has-text("here I am")')
  await page.fill('#search', 'message 7')
  await page.fill('#text', 'not a match')
  await page.press('#text', 'Enter')
  await page.waitForSelector('#note:has-text("The filter hides your message.")')
  assert.is((await getJson(`${eventUrl(site.gateway, event_id)}/messages`)).body.data.length, 102)
})

test('follows the end only if the view is at the end', async () => {
  const { page, ids, event_id } = await roomOf(chats(300), { viewport: { width: 360, height: 640 } })
  for (let n = 0; n < 5; n++) {
    ids.push(...(await publish(site.gateway, event_id, chats(7))))
    await sees(page, ids.at(-1))
    await until(async () => (await below(page)) < 2, { what: 'the end' })
  }
  assert.is(await page.locator('#to-end').count(), 0)
  await page.hover('#box')
  await page.mouse.wheel(0, -3_000)
  await page.waitForSelector('#to-end')
  assert.match(await getElementText(page, '#to-end'), /^Jump to the newest/)
  await until(async () => (await below(page)) > 2_000, { what: 'a reader further up' })
  const seen = await seenIds(page)
  ids.push(...(await publish(site.gateway, event_id, chats(3))))
  await page.waitForSelector('#to-end:has-text("3 new messages")')
  ids.push(...(await publish(site.gateway, event_id, chats(1))))
  await page.waitForSelector('#to-end:has-text("4 new messages")')
  assert.equal(await seenIds(page), seen, 'what was read stays where it is')
  await page.click('#to-end')
  await sees(page, ids.at(-1))
  await page.waitForSelector('#to-end', { state: 'detached' })
  ids.push(...(await publish(site.gateway, event_id, chats(1))))
  await sees(page, ids.at(-1))
})

test.full('shows new messages even on a machine that is never idle', async () => {
  const { page, ids, event_id } = await roomOf(chats(3))
  await page.evaluate(() => {
    let at = performance.now()
    performance.now = () => (at += 20)
  })
  for (let n = 0; n < 3; n++) {
    ids.push(...(await publish(site.gateway, event_id, chats(2))))
    await sees(page, ids.at(-1))
  }
})

test.full('counts messages in the title while the tab is hidden', async () => {
  const { page, event_id } = await roomOf(chats(3))
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })
    // As browsers do: hidden tabs draw nothing.
    globalThis.requestAnimationFrame = () => 0
    document.dispatchEvent(new Event('visibilitychange'))
  })
  await publish(site.gateway, event_id, chats(2))
  await until(async () => (await page.title()) === `(2) ${event_id} – deepsoc-gateway`, { what: 'the count' })
})

test('posts the typed message once, and shows the reason if it fails', async () => {
  const { page, event_id } = await roomOf([])
  const stored = async (): Promise<Json[]> => (await getJson(`${eventUrl(site.gateway, event_id)}/messages`)).body.data
  await page.fill('#name', '_captain')
  await page.fill('#text', 'first\nline')
  await page.click('#send')
  await page.waitForSelector('.row')
  assert.is(await page.inputValue('#text'), '')
  assert.is(await getElementText(page, '.row .role'), 'User', 'a name makes nobody an agent')
  await page.fill('#text', 'second')
  // The response is lost, but not the message.
  await page.route('**/messages', async (route) => {
    await route.fetch()
    await route.abort()
  })
  await page.press('#text', 'Enter')
  await page.waitForSelector('#problem:has-text("Not sent")')
  await page.waitForSelector('.row:nth-child(2)')
  await page.unroute('**/messages')
  await page.click('#send-again')
  await until(async () => (await page.inputValue('#text')) === '', { what: 'the empty field' })
  assert.equal(
    (await stored()).map((m: Json) => [m.message_from, m.message_type, m.message_content.text]),
    ['first\nline', 'second'].map((said) => ['_captain', 'user_message', said]),
  )
  await page.fill('#text', 'x'.repeat(1_100_000))
  await page.click('#send')
  await page.waitForSelector('#problem:has-text("413")')
  assert.is((await page.inputValue('#text')).length, 1_100_000)
})

test.run()
