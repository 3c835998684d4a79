// The page of deepsoc-gateway: the list of events at `/`, one event at `/events/:event_id`.
// Whatever an agent wrote reaches the document as text nodes only.

const CHINESE = (navigator.languages?.[0] ?? navigator.language ?? '').toLowerCase().startsWith('zh')

/** What the script itself says; the words of index.html have their Chinese beside them. */
const WORDS = {
  messages: ['messages', '条消息'],
  details: ['Details', '详情'],
  toEnd: ['↓ To the newest, unseen: ', '↓ 回到最新，未读：'],
  notSent: ['Not sent: ', '未发送：'],
  notLoaded: ['The list could not be loaded: ', '无法加载列表：'],
  connecting: ['Connecting', '连接中'],
  catching_up: ['Catching up', '同步历史中'],
  live: ['Live', '实时'],
  waiting: ['Connection lost, trying again', '连接断开，正在重试'],
  closed: ['Closed', '已关闭'],
  shutdown: ['the gateway is restarting', '网关正在重启'],
  max_age: ['this connection was at its longest age', '连接已到最长时限'],
  too_slow: ['this reader was too slow', '本端接收过慢'],
  captain: ['Captain', '安全指挥官'],
  manager: ['Manager', '安全管理员'],
  operator: ['Operator', '安全工程师'],
  executor: ['Executor', '执行器'],
  expert: ['Expert', '安全专家'],
  system: ['System', '系统'],
  ai: ['AI assistant', 'AI助手'],
  user: ['User', '用户'],
}

const t = (key) => (Object.hasOwn(WORDS, key) ? WORDS[key][CHINESE ? 1 : 0] : key)

const $ = (id) => document.getElementById(id)

/** Makes an element. Strings among the children become text nodes, null nothing. */
const el = (tag, attributes, ...children) => {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children.filter((child) => child !== null))
  return node
}

/** Puts one of the page's templates into the document, in the reader's language. */
const show = (view) => {
  const content = document.importNode($(view).content, true)
  if (CHINESE) for (const node of content.querySelectorAll('[data-zh]')) node.textContent = node.dataset.zh
  document.body.className = view
  document.body.append(content)
}

// Terminal escapes, and marks that turn the direction of writing and so make one text look like another.
const UNSEEN = /(?![\t\n])[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** A text with its control characters made visible. */
const visible = (text) =>
  String(text)
    .replaceAll('\r\n', '\n')
    .replace(UNSEEN, (char) => {
      const code = char.charCodeAt(0)
      return code < 32 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
    })

// JSON.parse rounds 12302548181076029 to …028. Numbers that it cannot hold become strings with a mark in front and
// are printed as the digits that were sent.
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g
const MARKED = /"\\u0000(-?\d[\d.eE+-]*)"/g

const parseExact = (text) => {
  const keep = (token) => (token[0] === '"' || String(Number(token)) === token ? token : `"\\u0000${token}"`)
  return JSON.parse(text.replace(STRING_OR_NUMBER, keep))
}

const printExact = (value) => JSON.stringify(value, null, 2).replace(MARKED, '$1')

const isText = (value) => typeof value === 'string' && value.trim() !== '' && value[0] !== '\0'

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

const roleOf = (from, message) => {
  const agent = /^_(captain|manager|operator|executor|expert)$/.exec(from)
  if (agent !== null) return agent[1]
  if (from === 'ai_assistant' || message.sender_type === 'ai') return 'ai'
  return from === 'system' ? 'system' : 'user'
}

const clock = new Intl.DateTimeFormat(CHINESE ? 'zh-CN' : undefined, { dateStyle: 'short', timeStyle: 'medium' })

const timeOf = (iso) => el('time', { datetime: iso, title: iso }, clock.format(new Date(iso)))

const messageRow = (data) => {
  const message = parseExact(data)
  const from = visible(message.message_from ?? message.source ?? '')
  const role = roleOf(from, message)
  const { text, json } = readable(message.message_content ?? message.content)
  const row = el('li', { class: role, 'data-db-id': message.db_id })
  const meta = el(
    'div',
    { class: 'meta' },
    el('span', { class: 'role' }, t(role)),
    el('bdi', { class: 'from' }, from),
    el('bdi', { class: 'type' }, visible(message.message_type ?? message.type ?? '')),
    timeOf(message.received_at),
    el('span', { class: 'id' }, `#${message.db_id}`),
  )
  const pre = json === undefined ? null : el('pre', {}, visible(printExact(json)))
  if (text === undefined) row.append(meta, pre)
  else row.append(meta, el('p', { class: 'text', dir: 'auto' }, visible(text)))
  if (text !== undefined && pre !== null) row.append(el('details', {}, el('summary', {}, t('details')), pre))
  return row
}

const eventRow = ({ event_id, messages, last_at }) =>
  el(
    'li',
    {},
    el('a', { href: `/events/${encodeURIComponent(event_id)}`, dir: 'auto' }, visible(event_id)),
    el('span', { class: 'count' }, `${messages.toLocaleString()} ${t('messages')}`),
    timeOf(last_at),
  )

/** @throws Error with the answer's status, code and hint */
const api = async (path, options) => {
  const answer = await fetch(path, options)
  const body = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error([answer.status, body.code, body.message, body.hint].filter(Boolean).join(' · '))
  return body
}

const showState = (state, why = '') => {
  const said = why === '' ? t(state) : `${t(state)}: ${t(why)}`
  $('state').dataset.state = state
  if ($('state').textContent !== said) $('state').textContent = said
}

/**
 * Follows a stream. Every db_id is handed on once and in order: EventSource resumes by Last-Event-ID, and where it
 * gives up for good, a new one goes on behind the last id.
 */
const follow = (path, { onMessage, onReset, onState }) => {
  let last = null
  let logId = null
  let why = ''
  const tell = (state, reason) => {
    showState(state, reason)
    onState(state)
  }
  const refused = async (url) => {
    const abort = new AbortController()
    const answer = await fetch(url, { signal: abort.signal }).catch(() => null)
    const lasting = answer !== null && answer.status >= 400 && answer.status < 500
    const { code, message } = lasting ? await answer.json().catch(() => ({})) : {}
    abort.abort()
    tell(lasting ? 'closed' : 'waiting', lasting ? [answer.status, code, message].filter(Boolean).join(' ') : '')
    if (!lasting) setTimeout(open, 2000 + Math.random() * 3000)
  }
  const open = () => {
    const url = new URL(path, location.href)
    if (last !== null) url.searchParams.set('last_message_db_id', last)
    const source = new EventSource(url)
    const on = (name, act) => source.addEventListener(name, act)
    on('hello', ({ data }) => {
      const { log_id, cursor } = JSON.parse(data)
      if (logId !== null && log_id !== logId) {
        // Another database: its ids mean other messages, so everything is read anew.
        source.close()
        last = logId = null
        onReset()
        open()
        return
      }
      logId = log_id
      last ??= cursor
      why = ''
      tell('catching_up')
    })
    on('reset', () => {
      last = 0
      onReset()
    })
    on('new_message', ({ data, lastEventId }) => {
      if (Number(lastEventId) <= last) return
      last = Number(lastEventId)
      onMessage(data)
    })
    on('caught_up', () => tell('live'))
    on('closing', ({ data }) => {
      why = JSON.parse(data).reason
    })
    on('error', () => (source.readyState === EventSource.CLOSED ? refused(url) : tell('waiting', why)))
  }
  tell('connecting')
  open()
}

/** Keeps the box at its end while the reader is there. @returns to be told how many rows came */
const keepAtEnd = (box, list, button) => {
  let atEnd = true
  let unseen = 0
  const toEnd = () => {
    box.scrollTop = box.scrollHeight
    unseen = 0
    button.hidden = true
  }
  const watch = new ResizeObserver(() => atEnd && toEnd())
  watch.observe(list)
  watch.observe(box)
  button.addEventListener('click', toEnd)
  box.addEventListener('scroll', () => {
    atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40
    if (atEnd) toEnd()
  })
  return (count) => {
    if (atEnd) return
    unseen += count
    button.textContent = t('toEnd') + unseen
    button.hidden = false
  }
}

/** The form under a room. A text sent again after a lost answer keeps its id, so that it is stored once. */
const preparePosting = (path) => {
  const [name, text, send, problem] = ['name', 'text', 'send', 'problem'].map($)
  let sent = { text: '', id: '' }
  name.value = localStorage.getItem('name') ?? ''
  $('post').addEventListener('submit', async (event) => {
    event.preventDefault()
    localStorage.setItem('name', name.value.trim())
    const id = [...crypto.getRandomValues(new Uint32Array(4))].join('-')
    if (sent.text !== text.value) sent = { text: text.value, id }
    const message_content = { type: 'text', text: sent.text }
    const message = { message_from: name.value.trim() || 'web', message_type: 'user_message', message_content }
    const headers = { 'content-type': 'application/json', 'idempotency-key': sent.id }
    send.disabled = true
    try {
      await api(path, { method: 'POST', headers, body: JSON.stringify(message) })
      if (text.value === sent.text) text.value = ''
      sent = { text: '', id: '' }
      problem.textContent = ''
    } catch (error) {
      problem.textContent = t('notSent') + error.message
    }
    send.disabled = false
  })
  text.addEventListener('keydown', (event) => {
    // An Enter that ends the composition of a Chinese word is no wish to send.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    if (!send.disabled && text.value.trim() !== '') $('post').requestSubmit()
  })
}

const showRoom = (event_id) => {
  show('room-view')
  document.title = `${visible(event_id)} – deepsoc-gateway`
  $('title').textContent = visible(event_id)
  const base = `/api/events/${encodeURIComponent(event_id)}`
  const list = $('messages')
  const arrived = keepAtEnd($('box'), list, $('to-end'))
  let rows = []
  const flush = () => {
    arrived(rows.length)
    list.append(...rows)
    rows = []
    $('empty').hidden ||= list.childElementCount > 0
  }
  preparePosting(`${base}/messages`)
  follow(`${base}/stream`, {
    onMessage: (data) => {
      // A long history comes in bursts: one layout for each.
      if (rows.length === 0) setTimeout(flush, 30)
      rows.push(messageRow(data))
    },
    onReset: () => {
      rows = []
      list.replaceChildren()
    },
    onState: (state) => {
      $('box').setAttribute('aria-busy', String(state === 'connecting' || state === 'catching_up'))
      if (state === 'live') $('empty').hidden = list.childElementCount + rows.length > 0
    },
  })
}

const showEvents = () => {
  show('events-view')
  document.title = `${CHINESE ? '事件' : 'Events'} – deepsoc-gateway`
  let limit = 100
  let resting = false
  let again = false
  const load = async () => {
    again = resting
    if (resting) return
    resting = true
    try {
      const { data, has_more } = await api(`/api/events?limit=${limit}`)
      const focused = document.activeElement?.getAttribute('href')
      $('events').replaceChildren(...data.map(eventRow))
      if (focused) [...$('events').querySelectorAll('a')].find((a) => a.getAttribute('href') === focused)?.focus()
      $('empty').hidden = data.length > 0
      $('more').hidden = !has_more || limit >= 1000
      $('problem').textContent = ''
    } catch (error) {
      $('problem').textContent = t('notLoaded') + error.message
      again = true
    }
    // At most one look a second, however busy the events are.
    setTimeout(() => {
      resting = false
      if (again) load()
    }, 1000)
  }
  $('more').addEventListener('click', () => {
    limit *= 2
    load()
  })
  $('open').addEventListener('submit', (event) => {
    event.preventDefault()
    location.href = `/events/${encodeURIComponent($('event-id').value)}`
  })
  follow('/api/stream?event_id=*&last_message_db_id=latest', {
    onMessage: load,
    onReset: load,
    onState: (state) => state === 'live' && load(),
  })
}

const [, id] = /^\/events\/([^/]+)$/.exec(location.pathname) ?? []
document.documentElement.lang = CHINESE ? 'zh-CN' : 'en'
if (id === undefined) showEvents()
else showRoom(decodeURIComponent(id))
