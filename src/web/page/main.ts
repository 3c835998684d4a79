// The page of deepsoc-gateway: events at `/`, the war room of one at `/events/:event_id`, the gateway at `/health`.
import { render } from 'preact'
import { App } from './app.ts'
import { html } from './shared/html.ts'
import { startRouting } from './shared/router.ts'
import { startTheme } from './shared/theme.ts'

startTheme()
startRouting()
render(html`<${App} />`, document.getElementById('app')!)
