import { gatewayPath } from '../base-path.ts'
import { html, type View } from './html.ts'
import { sharedText as t } from './messages.ts'

/** Page for unknown addresses. */
export const NotFoundPage = (): View =>
  html`<main class="narrow" id="main" tabindex="-1"><h1>${t('lost')}</h1><p><a href=${gatewayPath('/')}>${t('toEvents')}</a></p></main>`
