import { gatewayPath, pathInGateway } from '../base-path.ts'
import { signal } from './signal.ts'

export type Route =
  | { readonly page: 'events' | 'health' | 'lost' }
  | { readonly page: 'room'; readonly eventId: string }

/** Parses a path, with or without a trailing slash. */
const parseRoute = (address: string): Route => {
  if (address === gatewayPath('/')) return { page: 'events' }
  const path = pathInGateway(address)?.replace(/\/$/, '') ?? ''
  if (path === '/health') return { page: 'health' }
  const eventId = /^\/events\/([^/]+)$/.exec(path)?.[1]
  if (eventId === undefined) return { page: 'lost' }
  try {
    return { page: 'room', eventId: decodeURIComponent(eventId) }
  } catch {
    return { page: 'lost' }
  }
}

/** Returns the path of an event's war room. */
export const roomPath = (eventId: string): string => gatewayPath(`/events/${encodeURIComponent(eventId)}`)

/** The current route. */
export const route = signal<Route>(parseRoute(location.pathname))

let path = location.pathname

const follow = (): void => {
  // A change of the hash alone is handled by the current page.
  if (location.pathname === path) return
  path = location.pathname
  route.set(parseRoute(path))
}

/** Navigates to another page without reloading the document. */
export const navigate = (to: string): void => {
  history.pushState(null, '', to)
  follow()
  scrollTo(0, 0)
}

const isPlainClick = (event: MouseEvent): boolean =>
  event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented

/** Handles clicks on internal links, and the browser's back and forward. */
export const startRouting = (): void => {
  addEventListener('popstate', follow)
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (link === null || !isPlainClick(event) || link.target !== '' || link.hasAttribute('download')) return
    if (link.origin !== location.origin || link.pathname === location.pathname) return
    if (parseRoute(link.pathname).page === 'lost') return
    event.preventDefault()
    navigate(link.pathname + link.search + link.hash)
  })
}
