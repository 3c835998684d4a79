import { signal } from './signal.ts'

/** Whether this page may use the gateway. The token is in a cookie that scripts cannot read. */
export interface Session {
  /** The gateway's message if it requires a token, else null. */
  readonly wanted: string | null
  /** True once the gateway has accepted a request of this user: the page then stays on screen when a token is wanted. */
  readonly accepted: boolean
  /** Number of changes of the user; pages start over when it changes. */
  readonly generation: number
}

export const session = signal<Session>({ wanted: null, accepted: false, generation: 0 })

/** Number of times that the same user has continued with a new token; refused requests are then sent again. */
export const renewals = signal(0)

/** Discards all pages, and the search and filter in the address, which belong to another user. */
export const startOver = (): void => {
  // Before the first user, the address is a link that somebody has sent.
  if (session.get().accepted) history.replaceState(null, '', location.pathname)
  session.set({ wanted: null, accepted: false, generation: session.get().generation + 1 })
}

/** Continues with a new token of the same user. */
export const continueSession = (): void => {
  session.set({ ...session.get(), wanted: null })
  renewals.set(renewals.get() + 1)
}

/** Called for each accepted request. */
export const onAccepted = (): void => {
  if (!session.get().accepted) session.set({ ...session.get(), accepted: true })
}

/** Shows the sign-in form. */
export const askForToken = (reason: string): void => session.set({ ...session.get(), wanted: reason })

/** Hides the sign-in form, so that the page can be read without a token. */
export const dismissSignIn = (): void => session.set({ ...session.get(), wanted: null })
