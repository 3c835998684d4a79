// The page of deepsoc-gateway: the list of events at `/`, one event at `/events/:event_id`.
// Whatever an agent wrote reaches the document as text nodes only.

const CHINESE = (navigator.languages?.[0] ?? navigator.language ?? '').toLowerCase().startsWith('zh')

const WORDS = {
  events: ['Events', '事件'],
  allEvents: ['All events', '全部事件'],
  messages: ['messages', '条消息'],
  noEvents: ['No events yet. The first message makes one.', '暂无事件。收到第一条消息后会自动出现。'],
  noMessages: ['No messages in this event yet.', '该事件暂无消息。'],
  older: ['Show more', '显示更多'],
  open: ['Open an event', '打开事件'],
  eventId: ['Event id', '事件 ID'],
  go: ['Open', '打开'],
  log: ['Messages', '消息'],
  name: ['Your name', '你的名字'],
  text: ['Message', '消息'],
  send: ['Send', '发送'],
  sending: ['Sending…', '发送中…'],
  notSent: ['Not sent', '未发送'],
  json: ['Details', '详情'],
  toEnd: ['To the newest', '回到最新'],
  fresh: ['new', '条新消息'],
  failed: ['The list could not be loaded', '无法加载列表'],
  connecting: ['Connecting', '连接中'],
  catching_up: ['Catching up', '同步历史中'],
  live: ['Live', '实时'],
  waiting: ['Connection lost, trying again', '连接已断开，正在重试'],
  closed: ['Closed', '已关闭'],
  shutdown: ['the gateway is restarting', '网关正在重启'],
  max_age: ['the stream had its longest life', '连接已到最长时限'],
  too_slow: ['this reader was too slow', '本端接收过慢'],
  token_expired: ['the token has expired', '令牌已过期'],
  unreachable: ['the gateway does not answer', '网关无响应'],
  captain: ['Captain', '安全指挥官'],
  manager: ['Manager', '安全管理员'],
  operator: ['Operator', '安全工程师'],
  executor: ['Executor', '执行器'],
  expert: ['Expert', '安全专家'],
  system: ['System', '系统'],
  ai: ['AI assistant', 'AI助手'],
  user: ['User', '用户'],
}

/** The label of a key; a key without one stands for itself. */
const t = (key) => (Object.hasOwn(WORDS, key) ? WORDS[key][CHINESE ? 1 : 0] : key)

/** Makes an element. Strings among the children become text nodes. */
const el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag)
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value)
    else if (value === true) node.setAttribute(key, '')
    else if (value !== false && value !== null) node.setAttribute(key, value)
  }
  node.append(...children.filter((child) => child !== null))
  return node
}

// Terminal escapes and marks that turn the direction of writing can make a text look like another one.
const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g

/** A text as it is, except that control characters are made visible. */
const visible = (text) =>
  String(text).replace(UNSEEN, (char) => {
    const code = char.codePointAt(0)
    if (char === '\r') return ''
    return code < 0x20 ? String.fromCodePoint(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
  })

// JSON.parse would round 12302548181076029 to …028. Numbers that it cannot hold become marked strings and are
// printed as the digits that were sent.
const MARK = '\0'
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g
const MARKED = /"\\u0000(-?\d[\d.eE+-]*)"/g

const parseExact = (text) =>
  JSON.parse(
    text.replace(STRING_OR_NUMBER, (token) =>
      token[0] === '"' || String(Number(token)) === token ? token : `"\\u0000${token}"`,
    ),
  )

const printExact = (value) => JSON.stringify(value, null, 2).replace(MARKED, '$1')

const isText = (value) => typeof value === 'string' && value.trim() !== '' && !value.startsWith(MARK)

const TEXT_KEYS = ['text', 'content', 'response_text', 'ai_summary', 'event_summary']

/** What of a message_content a person reads, and what is left for the details. */
const readable = (content) => {
  const data = content?.data ?? content ?? ''
  if (isText(data)) return { text: data }
  const key = TEXT_KEYS.find((name) => isText(data[name]))
  if (key === undefined) return { json: data }
  const others = Object.keys(data).filter((name) => ![key, 'timestamp', 'type'].includes(name))
  return others.length === 0 ? { text: data[key] } : { text: data[key], json: data }
}

const ROLES = ['captain', 'manager', 'operator', 'executor', 'expert']

const roleOf = (from, message) => {
  if (from.startsWith('_') && ROLES.includes(from.slice(1))) return from.slice(1)
  if (from === 'ai_assistant' || message.sender_type === 'ai') return 'ai'
  return from === 'system' ? 'system' : 'user'
}

const clock = new Intl.DateTimeFormat(CHINESE ? 'zh-CN' : navigator.language, {
  dateStyle: 'short',
  timeStyle: 'medium',
})

const timeOf = (iso) => el('time', { datetime: iso, title: iso }, clock.format(new Date(iso)))

const rowOf = (data) => {
  const message = parseExact(data)
  const from = visible(message.message_from ?? message.source ?? '')
  const role = roleOf(from, message)
  const { text, json } = readable(message.message_content ?? message.content)
  const pre = json === undefined ? null : el('pre', {}, visible(printExact(json)))
  return el(
    'li',
    { class: `message ${role}`, 'data-db-id': message.db_id },
    el(
      'div',
      { class: 'meta' },
      el('span', { class: 'role' }, t(role)),
      el('span', { class: 'from' }, from),
      el('span', { class: 'type' }, visible(message.message_type ?? message.type ?? '')),
      timeOf(message.received_at),
      el('span', { class: 'id' }, `#${message.db_id}`),
    ),
    text === undefined ? pre : el('p', { class: 'text', dir: 'auto' }, visible(text)),
    text === undefined || pre === null ? null : el('details', {}, el('summary', {}, t('json')), pre),
  )
}

const api = async (path, options) => {
  const answer = await fetch(path, options)
  const body = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error([`${answer.status} ${body.code ?? ''}`, body.message, body.hint].filter(Boolean).join(' — '))
  return body
}

/**
 * Follows a stream. Every db_id is handed on once and in order: EventSource resumes by Last-Event-ID, and where it
 * gives up for good, a new one goes on behind the last id.
 */
const follow = (path, { onMessage, onReset, onState }) => {
  let last = null
  let logId = null
  let why = ''
  const startOver = (source) => {
    source.close()
    last = null
    logId = null
    onReset()
    open()
  }
  const refused = async (url) => {
    const abort = new AbortController()
    const answer = await fetch(url, { signal: abort.signal }).catch(() => null)
    const lasting = answer !== null && answer.status >= 400 && answer.status < 500
    const { code, message } = lasting ? await answer.json().catch(() => ({})) : {}
    abort.abort()
    if (lasting) {
      onState('closed', [answer.status, code, message].filter(Boolean).join(' '))
      return
    }
    onState('waiting', 'unreachable')
    setTimeout(open, 2000 + Math.random() * 3000)
  }
  const open = () => {
    const url = new URL(path, location.href)
    if (last !== null) url.searchParams.set('last_message_db_id', String(last))
    const source = new EventSource(url)
    source.addEventListener('hello', ({ data }) => {
      const hello = JSON.parse(data)
      if (logId !== null && hello.log_id !== logId) {
        startOver(source)
        return
      }
      logId = hello.log_id
      last ??= hello.cursor
      why = ''
      onState('catching_up')
    })
    source.addEventListener('reset', () => {
      last = 0
      onReset()
    })
    source.addEventListener('new_message', ({ data, lastEventId }) => {
      const db_id = Number(lastEventId)
      if (db_id <= last) return
      last = db_id
      onMessage(data)
    })
    source.addEventListener('caught_up', () => onState('live'))
    source.addEventListener('closing', ({ data }) => {
      why = JSON.parse(data).reason
    })
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) refused(url)
      else onState('waiting', why)
    })
  }
  onState('connecting')
  open()
}

/** The line that says how the connection is. */
const stateLine = () => {
  const node = el('p', { id: 'state', role: 'status' })
  return {
    node,
    set(state, why = '') {
      node.dataset.state = state
      const said = `${t(state)}${why === '' ? '' : `: ${t(why)}`}`
      if (node.textContent !== said) node.textContent = said
    },
  }
}

/** Keeps a box at its end while the reader is there, and counts what comes while they are not. */
const keepAtEnd = (box, list, button) => {
  let atEnd = true
  let fresh = 0
  const toEnd = () => {
    box.scrollTop = box.scrollHeight
    fresh = 0
    button.hidden = true
  }
  box.addEventListener('scroll', () => {
    atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40
    if (atEnd) toEnd()
  })
  button.addEventListener('click', toEnd)
  const watch = new ResizeObserver(() => atEnd && toEnd())
  watch.observe(list)
  watch.observe(box)
  return (count) => {
    fresh += count
    if (atEnd) return
    button.textContent = `${t('toEnd')} (${fresh} ${t('fresh')})`
    button.hidden = false
  }
}

const postForm = (base) => {
  const name = el('input', { id: 'name', name: 'name', autocomplete: 'nickname', maxlength: '100' })
  const text = el('textarea', { id: 'text', name: 'text', rows: '2', required: true })
  const button = el('button', {}, t('send'))
  const problem = el('p', { class: 'problem', role: 'alert' })
  name.value = localStorage.getItem('name') ?? ''
  // The same text sent again after a lost answer keeps its id, so that it is stored once.
  let sent = { text: '', id: '' }
  const submit = async (event) => {
    event.preventDefault()
    if (text.value.trim() === '' || button.disabled) return
    const from = name.value.trim() || 'web'
    localStorage.setItem('name', name.value.trim())
    if (sent.text !== text.value) sent = { text: text.value, id: makeId() }
    button.disabled = true
    button.textContent = t('sending')
    try {
      const message = { message_from: from, message_type: 'user_message', message_content: { type: 'text', text: sent.text } }
      const headers = { 'content-type': 'application/json', 'idempotency-key': `${sent.id}` }
      await api(`${base}/messages`, { method: 'POST', headers, body: JSON.stringify(message) })
      text.value = ''
      sent = { text: '', id: '' }
      problem.textContent = ''
    } catch (error) {
      problem.textContent = `${t('notSent')}: ${error.message}`
    }
    button.disabled = false
    button.textContent = t('send')
    text.focus()
  }
  const form = el(
    'form',
    { onsubmit: submit },
    el('label', { for: 'name' }, t('name')),
    name,
    el('label', { for: 'text' }, t('text')),
    text,
    button,
    problem,
  )
  text.addEventListener('keydown', (event) => {
    // An Enter that ends the composition of a Chinese word is no wish to send.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })
  return form
}

/** crypto.randomUUID exists on secure origins only. */
const makeId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')

const showEvent = (top, main, event_id) => {
  const base = `/api/events/${encodeURIComponent(event_id)}`
  const state = stateLine()
  const list = el('ol', { id: 'messages', role: 'log', 'aria-label': t('log'), 'aria-busy': 'true' })
  const empty = el('p', { class: 'empty', hidden: true }, t('noMessages'))
  const box = el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': t('log') }, list, empty)
  const button = el('button', { class: 'to-end', hidden: true, type: 'button' })
  document.title = `${visible(event_id)} – deepsoc-gateway`
  document.body.className = 'room'
  top.append(el('a', { href: '/' }, `← ${t('allEvents')}`), el('h1', { dir: 'auto' }, visible(event_id)), state.node)
  main.append(box, button, postForm(base))
  const arrived = keepAtEnd(box, list, button)
  let waiting = []
  const flush = () => {
    const rows = waiting
    waiting = []
    list.append(...rows)
    if (rows.length > 0) empty.hidden = true
    arrived(rows.length)
  }
  follow(`${base}/stream`, {
    onMessage(data) {
      // A long history comes in bursts: one layout for each.
      if (waiting.length === 0) setTimeout(flush, 30)
      waiting.push(rowOf(data))
    },
    onReset() {
      waiting = []
      list.replaceChildren()
    },
    onState(name, why) {
      state.set(name, why)
      list.setAttribute('aria-busy', String(name === 'catching_up' || name === 'connecting'))
      if (name === 'live') empty.hidden = list.children.length + waiting.length > 0
    },
  })
}

const eventRow = (event) =>
  el(
    'li',
    {},
    el('a', { href: `/events/${encodeURIComponent(event.event_id)}`, dir: 'auto' }, visible(event.event_id)),
    el('span', { class: 'count' }, `${event.messages.toLocaleString()} ${t('messages')}`),
    timeOf(event.last_at),
  )

const showEvents = (top, main) => {
  const state = stateLine()
  const list = el('ul', { id: 'events' })
  const note = el('p', { class: 'empty', role: 'status' })
  const more = el('button', { type: 'button', hidden: true }, t('older'))
  const input = el('input', { id: 'event-id', required: true, maxlength: '255', autocomplete: 'off' })
  const openEvent = (event) => {
    event.preventDefault()
    location.href = `/events/${encodeURIComponent(input.value)}`
  }
  let limit = 100
  let loading = false
  let again = false
  const load = async () => {
    again = loading
    if (loading) return
    loading = true
    try {
      const { data, has_more } = await api(`/api/events?limit=${limit}`)
      list.replaceChildren(...data.map(eventRow))
      note.textContent = data.length === 0 ? t('noEvents') : ''
      more.hidden = !has_more || limit >= 1000
    } catch (error) {
      note.textContent = `${t('failed')}: ${error.message}`
      again = true
    }
    // At most one look a second, however busy the events are.
    setTimeout(() => {
      loading = false
      if (again) load()
    }, 1000)
  }
  more.addEventListener('click', () => {
    limit = Math.min(1000, limit * 2)
    load()
  })
  document.title = `${t('events')} – deepsoc-gateway`
  top.append(el('h1', {}, t('events')), state.node)
  main.append(
    el('form', { onsubmit: openEvent }, el('label', { for: 'event-id' }, t('open')), input, el('button', {}, t('go'))),
    list,
    note,
    more,
  )
  follow('/api/stream?event_id=*&last_message_db_id=latest', {
    onMessage: load,
    onReset: load,
    onState(name, why) {
      state.set(name, why)
      if (name === 'live') load()
    },
  })
}

const main = document.getElementById('main')
const top = document.getElementById('top')
const [, id] = /^\/events\/([^/]+)\/?$/.exec(location.pathname) ?? []
document.documentElement.lang = CHINESE ? 'zh-CN' : 'en'
if (id === undefined) showEvents(top, main)
else showEvent(top, main, decodeURIComponent(id))
