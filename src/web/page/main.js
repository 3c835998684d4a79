// The page of deepsoc-gateway: the list of events at `/`, one event at `/events/:event_id`.
// Whatever an agent wrote reaches the document as text nodes only.

const CHINESE = (navigator.languages?.[0] ?? navigator.language ?? '').toLowerCase().startsWith('zh')

const $ = (id) => document.getElementById(id)

/** The content of one of the templates of index.html, in the reader's language. */
const copyOf = (template) => {
  const content = document.importNode($(template).content, true)
  if (CHINESE) for (const node of content.querySelectorAll('[data-zh]')) node.textContent = node.dataset.zh
  return content
}

const WORDS = new Map([...copyOf('words').children].map((node) => [node.dataset.word, node.textContent]))

const t = (key) => WORDS.get(key) ?? key

/** Makes an element. Strings among the children become text nodes. */
const el = (tag, attributes, ...children) => {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

// Terminal escapes, and marks that turn the direction of writing and so make one text look like another.
const UNSEEN = /(?![\t\n])[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** A text with its control characters made visible. */
const visible = (text) => {
  const name = (char) => `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`
  return String(text).replaceAll('\r\n', '\n').replace(UNSEEN, name)
}

// JSON.parse rounds 12302548181076029. What it cannot hold becomes a marked string and is printed as it was sent.
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g
const MARKED = /"\\u0000(-?\d[\d.eE+-]*)"/g

const parseExact = (text) => {
  const keep = (token) => (token[0] === '"' || String(Number(token)) === token ? token : `"\\u0000${token}"`)
  return JSON.parse(text.replace(STRING_OR_NUMBER, keep))
}

const printExact = (value) => JSON.stringify(value, null, 2).replace(MARKED, '$1')

const isText = (value) => typeof value === 'string' && value.trim() !== '' && value[0] !== '\0'

const TEXT_KEYS = ['text', 'content', 'response_text', 'ai_summary', 'event_summary']

/** What of a message_content a person reads, and what is for the details. */
const readable = (content) => {
  const data = content?.data ?? content
  if (data === undefined || data === null) return {}
  if (isText(data)) return { text: data }
  const key = TEXT_KEYS.find((name) => isText(data[name]))
  if (key === undefined) return { json: data }
  const more = Object.keys(data).some((name) => ![key, 'timestamp', 'type'].includes(name))
  return more ? { text: data[key], json: data } : { text: data[key] }
}

const roleOf = (from, senderType) => {
  if (from === 'ai_assistant' || senderType === 'ai') return 'ai'
  return /^_(captain|manager|operator|executor|expert)$/.exec(from)?.[1] ?? (from === 'system' ? 'system' : 'user')
}

const clock = new Intl.DateTimeFormat(CHINESE ? 'zh-CN' : undefined, { dateStyle: 'short', timeStyle: 'medium' })

const timeOf = (iso) => el('time', { datetime: iso, title: iso }, clock.format(new Date(iso)))

const messageRow = (data) => {
  const message = parseExact(data)
  const from = visible(message.message_from ?? message.source ?? '')
  const role = roleOf(from, message.sender_type)
  const { text, json } = readable(message.message_content ?? message.content)
  const meta = el(
    'div',
    { class: 'meta' },
    el('span', { class: 'role' }, t(role)),
    el('bdi', { class: 'from' }, from),
    el('bdi', { class: 'type' }, visible(message.message_type ?? message.type ?? '')),
    timeOf(message.received_at),
    el('span', { class: 'id' }, `#${message.db_id}`),
  )
  const row = el('li', { class: role, 'data-db-id': message.db_id }, meta)
  if (text !== undefined) row.append(el('p', { class: 'text', dir: 'auto' }, visible(text)))
  if (json === undefined) return row
  const pre = el('pre', {}, visible(printExact(json)))
  row.append(text === undefined ? pre : el('details', {}, el('summary', {}, t('details')), pre))
  return row
}

const eventRow = ({ event_id, messages, last_at }) =>
  el(
    'li',
    {},
    el('a', { href: `/events/${encodeURIComponent(event_id)}`, dir: 'auto' }, visible(event_id)),
    el('span', { class: 'count' }, t('messages') + messages.toLocaleString()),
    timeOf(last_at),
  )

/** @throws Error with the answer's status, code and hint */
const api = async (path, options) => {
  const answer = await fetch(path, options)
  const body = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error([answer.status, body.code, body.message, body.hint].filter(Boolean).join(' · '))
  return body
}

/**
 * Follows a stream. Every db_id is handed on once and in order: EventSource resumes by Last-Event-ID, and where it
 * gives up for good, a new one goes on behind the last id.
 */
const follow = (path, { onMessage, onReset, onState }) => {
  let [last, logId, why] = [null, null, '']
  const tell = (state, reason = '') => {
    const said = reason === '' ? t(state) : `${t(state)}: ${t(reason)}`
    $('state').dataset.state = state
    // A live region that is written again is read out again.
    if ($('state').textContent !== said) $('state').textContent = said
    onState(state)
  }
  const refused = async (url) => {
    const abort = new AbortController()
    const answer = await fetch(url, { signal: abort.signal }).catch(() => null)
    const lasting = answer !== null && answer.status >= 400 && answer.status < 500
    const said = lasting ? `${answer.status} ${(await answer.json().catch(() => ({}))).message ?? ''}` : ''
    abort.abort()
    tell(lasting ? 'closed' : 'waiting', said)
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
        return open()
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
    on('closing', ({ data }) => (why = JSON.parse(data).reason))
    on('error', () => (source.readyState === EventSource.CLOSED ? refused(url) : tell('waiting', why)))
  }
  tell('connecting')
  open()
}

/** Keeps the box at its end while the reader is there. @returns to be told how many rows came */
const keepAtEnd = (box, list, button) => {
  let [atEnd, unseen, top] = [true, 0, 0]
  const toEnd = () => {
    box.scrollTop = box.scrollHeight
    unseen = 0
    button.hidden = true
  }
  const watch = new ResizeObserver(() => atEnd && toEnd())
  for (const node of [list, box]) watch.observe(node)
  button.addEventListener('click', toEnd)
  box.addEventListener('scroll', () => {
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < 40
    // Rows that came between two frames leave the end as well; only who scrolls up wants to.
    atEnd = near || (atEnd && box.scrollTop >= top)
    top = box.scrollTop
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
  let sent = {}
  $('post').addEventListener('submit', async (event) => {
    event.preventDefault()
    const message_id = [...crypto.getRandomValues(new Uint32Array(4))].join('-')
    if (sent.text !== text.value) sent = { text: text.value, message_id }
    const message = {
      message_id: sent.message_id,
      message_from: name.value.trim() || 'web',
      message_type: 'user_message',
      message_content: { type: 'text', text: sent.text },
    }
    send.disabled = true
    try {
      await api(path, { method: 'POST', body: JSON.stringify(message) })
      if (text.value === sent.text) text.value = ''
      sent = {}
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
  document.body.append(copyOf('room-view'))
  document.title = `${visible(event_id)} – deepsoc-gateway`
  $('title').textContent = visible(event_id)
  const base = `/api/events/${encodeURIComponent(event_id)}`
  const [box, list] = [$('box'), $('messages')]
  box.tabIndex = 0
  const arrived = keepAtEnd(box, list, $('to-end'))
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
      box.setAttribute('aria-busy', String(state === 'connecting' || state === 'catching_up'))
      if (state === 'live') $('empty').hidden = list.childElementCount + rows.length > 0
    },
  })
}

const showEvents = () => {
  document.body.append(copyOf('events-view'))
  let [limit, resting, again] = [100, false, false]
  const load = async () => {
    again = resting
    if (resting) return
    resting = true
    try {
      const { data, has_more } = await api(`/api/events?limit=${limit}`)
      const focused = document.activeElement?.getAttribute('href')
      $('events').replaceChildren(...data.map(eventRow))
      if (focused) $('events').querySelector(`a[href="${focused}"]`)?.focus()
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
  $('more').onclick = () => load((limit *= 2))
  $('open').onsubmit = () => {
    location.href = `/events/${encodeURIComponent($('event-id').value)}`
    return false
  }
  follow('/api/stream?event_id=*&last_message_db_id=latest', {
    onMessage: load,
    onReset: load,
    onState: (state) => state === 'live' && load(),
  })
}

document.documentElement.lang = CHINESE ? 'zh-CN' : 'en'
if (location.pathname === '/') showEvents()
else showRoom(decodeURIComponent(location.pathname.split('/')[2]))
