import { html, type View } from '../frame/html.ts'

export const RoomPage = (_props: { readonly eventId?: string }): View => html`<main id="main" tabindex="-1"></main>`
