import { useLoadedCaller } from './caller.ts'
import { lazyPage } from './lazy-page.ts'
import { nextTask } from './room/model/time-slices.ts'
import { html, type View } from './shared/html.ts'
import { language } from './shared/i18n.ts'
import { Layout } from './shared/layout.ts'
import { NotFoundPage } from './shared/not-found.ts'
import { route } from './shared/router.ts'
import { session } from './shared/session.ts'
import { useSignalValue } from './shared/signal.ts'

const EventsPage = lazyPage(async () => (await import('./events/page.ts')).EventsPage)
const HealthPage = lazyPage(async () => (await import('./health/page.ts')).HealthPage)
const RoomPage = lazyPage(async () => {
  // In a task of its own, since it is half of the time.
  await import('./room/body/markdown.ts')
  await nextTask()
  return (await import('./room/page.ts')).RoomPage
})

/** The current page inside the common layout. */
export const App = (): View => {
  const at = useSignalValue(route)
  const { generation } = useSignalValue(session)
  useLoadedCaller(generation)
  useSignalValue(language)
  // A key per page and login, so that data of another user is discarded with its page.
  return html`<${Layout} at=${at.page}>${renderPage(at, generation)}</${Layout}>`
}

const renderPage = (at: ReturnType<typeof route.get>, generation: number): View => {
  switch (at.page) {
    case 'events':
      return html`<${EventsPage} key=${`events ${generation}`} />`
    case 'room':
      return html`<${RoomPage} key=${`room ${generation} ${at.eventId}`} eventId=${at.eventId} />`
    case 'health':
      return html`<${HealthPage} key=${`health ${generation}`} />`
    case 'lost':
      return html`<${NotFoundPage} />`
  }
}
