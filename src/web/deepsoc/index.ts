/**
 * `/deepsoc.js`: takes over the live messages of DeepSOC's war room. It is a classic script, added behind the page's
 * own scripts, so that the page can be on another origin and its variables can be read.
 */
import { openChannel } from '../client/index.ts'
import { LiveDelivery, type PageHooks, type PageMessage, type PageSocket } from './live-delivery.ts'
import { PageToken } from './page-token.ts'
import { describeStream, StreamBadge } from './stream-badge.ts'

/** Interval at which a refused stream checks for a new token, in milliseconds. */
const TOKEN_CHECK_MS = 5_000

/** Variables of DeepSOC's warroom.js, which are visible to other classic scripts. */
declare const socket: PageSocket
declare let messagesData: PageMessage[]
declare const displayedMessages: Set<string>

interface PageFunctions {
  fetchEventMessages?(): Promise<unknown>
  fetchEventStats?(): Promise<unknown>
  fetchEventDetails?(): Promise<unknown>
}

const page = globalThis as PageFunctions

const readUserId = (): string | null => {
  try {
    return JSON.parse(localStorage.getItem('user_info') ?? '{}').user_id ?? null
  } catch {
    return null
  }
}

/** Keeps track of the page's own loads, so that a load can be sent after the one that is under way. */
const trackLoads = (): (() => Promise<unknown>) => {
  const load = page.fetchEventMessages!
  let current: Promise<unknown> = Promise.resolve()
  page.fetchEventMessages = () => {
    current = load()
    return current
  }
  return () => current.then(() => page.fetchEventMessages!())
}

const isSupported = (): boolean =>
  typeof socket === 'object' &&
  typeof messagesData === 'object' &&
  typeof displayedMessages === 'object' &&
  typeof page.fetchEventMessages === 'function'

const pageHooks = (loadMessages: () => Promise<unknown>): PageHooks => ({
  socket,
  messages: () => messagesData,
  shownKeys: displayedMessages,
  userId: readUserId,
  loadMessages,
  // The page looks for its line by an id with the milliseconds, of which it has taken two.
  endThinking: () => {
    for (const line of document.querySelectorAll('[data-message-type="thinking"]')) line.remove()
  },
  refreshEvent: () => {
    void page.fetchEventStats?.()
    void page.fetchEventDetails?.()
  },
  report: reportError,
  setTimer: (ms, callback) => void setTimeout(callback, ms),
})

const start = (gateway: string, eventId: string, loadMessages: () => Promise<unknown>): void => {
  const delivery = new LiveDelivery(pageHooks(loadMessages))
  const token = new PageToken()
  const badge = new StreamBadge(() => channel.retry())
  const address = new URL(`api/events/${encodeURIComponent(eventId)}/stream`, gateway)
  const channel = openChannel(address, {
    lastMessageDbId: 'latest',
    token: token.next,
    onMessage: (message) => delivery.onMessage(message),
    onState: (state, status) => {
      badge.show(describeStream(status))
      delivery.onState(state)
    },
  })
  badge.show(describeStream(channel.status))
  const retryWithNewToken = (): void => {
    if (token.isRenewed(channel.status)) channel.retry()
  }
  setInterval(retryWithNewToken, TOKEN_CHECK_MS)
  addEventListener('storage', retryWithNewToken)
}

const run = (source: string): void => {
  const eventId = document.getElementById('event-id-data')?.dataset.eventId
  if (!eventId || !isSupported()) {
    console.error('deepsoc.js: this page is not a war room of DeepSOC, or the tag is in front of warroom.js.')
    return
  }
  const loadMessages = trackLoads()
  const begin = (): void => {
    try {
      start(source, eventId, loadMessages)
    } catch (error) {
      reportError(error)
    }
  }
  // The page registers its listeners in an earlier handler of the same event.
  if (socket.listeners('new_message').length > 0) begin()
  else document.addEventListener('DOMContentLoaded', begin)
}

const script = document.currentScript as HTMLScriptElement | null
if (script !== null) run(script.src)
