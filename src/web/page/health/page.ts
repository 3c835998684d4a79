import { t } from '../frame/frame-words.ts'
import { html, type View } from '../frame/html.ts'

/** The gateway's own state. */
export const HealthPage = (): View => html`<main class="narrow" id="main" tabindex="-1"><h1>${t('health')}</h1></main>`
