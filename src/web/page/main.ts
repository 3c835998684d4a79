// The web page of deepsoc-gateway: events at `/`, a war room at `/events/:event_id`, gateway health at `/health`.
import { render } from 'preact'
import { App } from './app.ts'
import { shareCaller } from './caller.ts'
import { html } from './shared/html.ts'
import { startRouting } from './shared/router.ts'
import { startTheme } from './shared/theme.ts'

startTheme()
startRouting()
shareCaller()
// In a task of its own: evaluating the script takes a third of the time before the page is there.
setTimeout(() => render(html`<${App} />`, document.getElementById('app')!))
