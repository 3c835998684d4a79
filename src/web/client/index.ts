import type { Channel, ChannelOptions, ChannelState, Hello, Reset, Why } from './types.ts'

export type * from './types.ts'

/**
 * Follows events of a gateway: each message once and in the order of db_id, for as long as the page lives.
 *
 * @param target the address of a stream, or the ids of up to 100 events
 */
export const openChannel = (target: string | URL | readonly string[], options: ChannelOptions): Channel => {
  const url = addressOf(target, options.base)
  let state: ChannelState = 'connecting'
  let why: Why | null = null
  let retryAt: number | null = null
  let failures = 0
  let cursor: number | null = typeof options.lastMessageDbId === 'number' ? options.lastMessageDbId : null
  let resumedFrom: number | null = null
  let hello: Hello | null = null
  let logId = options.logId ?? null
  let reset: Reset | null = null
  let heardAt: number | null = null
  let heartbeatAt: number | null = null
  let messages = 0
  let source: EventSource | null = null
  let timer: ReturnType<typeof setTimeout> | undefined

  const status = () => ({
    state,
    why,
    retryAt,
    failures,
    cursor,
    resumedFrom,
    hello,
    progress:
      state === 'catching_up' && hello !== null
        ? { from: hello.cursor, at: cursor ?? hello.cursor, to: hello.last_db_id, messages }
        : null,
    reset,
    heardAt,
    heartbeatAt,
    patienceMs: 31_000,
    connection: 'own' as const,
  })

  const become = (next: ChannelState, reason: Why | null = null, at: number | null = null): void => {
    state = next
    why = reason
    retryAt = at
    options.onState?.(state, status())
  }

  const wait = (reason: Why): void => {
    source?.close()
    const delay = Math.min(30_000, 2_000 * 2 ** failures++) * (0.5 + Math.random() / 2)
    timer = setTimeout(open, delay)
    become('waiting', reason, Date.now() + delay)
  }

  const begin = (reason: Reset['reason'], first_db_id: number): void => {
    reset = { reason, first_db_id, at: Date.now() }
    cursor = 0
    options.onReset?.(reset)
  }

  const open = (): void => {
    const address = new URL(url)
    if (cursor !== null) address.searchParams.set('last_message_db_id', String(cursor))
    else if (options.lastMessageDbId === 'latest') address.searchParams.set('last_message_db_id', 'latest')
    resumedFrom = cursor
    const mine = new EventSource(address, { withCredentials: options.withCredentials ?? false })
    source = mine
    const on = (name: string, act: (event: MessageEvent<string>) => void): void =>
      mine.addEventListener(name, (event) => {
        if (mine !== source) return
        heardAt = Date.now()
        act(event as MessageEvent<string>)
      })
    on('hello', ({ data }) => {
      hello = JSON.parse(data) as Hello
      messages = 0
      if (logId !== null && hello.log_id !== logId) {
        logId = hello.log_id
        mine.close()
        begin('log_changed', hello.first_db_id)
        return open()
      }
      logId = hello.log_id
      cursor ??= hello.cursor
      become('catching_up')
    })
    on('reset', ({ data }) => {
      const { reason, first_db_id } = JSON.parse(data) as Reset
      begin(reason, first_db_id)
    })
    on('new_message', ({ data, lastEventId }) => {
      const id = Number(lastEventId)
      if (id <= cursor!) return
      cursor = id
      messages++
      options.onMessage(JSON.parse(data), data)
    })
    on('caught_up', () => {
      failures = 0
      become('live')
    })
    on('heartbeat', () => {
      heartbeatAt = heardAt
    })
    on('closing', ({ data }) => wait({ code: JSON.parse(data).reason }))
    mine.addEventListener('error', () => {
      if (mine === source && state !== 'closed') wait({ code: hello === null ? 'unreachable' : 'lost' })
    })
  }

  // Behind the caller's `const channel = …`, which its callbacks may use.
  queueMicrotask(() => {
    if (state !== 'connecting') return
    options.onState?.(state, status())
    open()
  })

  return {
    get state() {
      return state
    },
    get status() {
      return status()
    },
    retry() {
      if (state !== 'waiting') return
      clearTimeout(timer)
      open()
    },
    close() {
      clearTimeout(timer)
      source?.close()
      become('closed', { code: 'closed' })
    },
  }
}

const addressOf = (target: string | URL | readonly string[], base: string | URL = location.href): URL => {
  if (typeof target === 'string' || target instanceof URL) return new URL(target, location.href)
  const url = new URL('/api/stream', base)
  for (const id of target) url.searchParams.append('event_id', id)
  return url
}
