import { html, type View } from '../shared/html.ts'
import { roomPath } from '../shared/router.ts'
import { eventListText as t } from './messages.ts'

/** Id of the event for messages that belong to no event, by convention. */
export const GENERAL_EVENT = 'general'

/** Link to the room of messages without an event, for a list that does not contain it. */
export const GeneralLink = (): View =>
  html`<a id="general" href=${roomPath(GENERAL_EVENT)} title=${t('generalWhy')}>${t('general')}</a>`
