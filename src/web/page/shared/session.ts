import { signal } from './signal.ts'
import { load, save } from './storage.ts'

const KEPT = 'token'

export interface Session {
  /** Token entered by the user, for this tab only; null if a cookie or no authentication is used. */
  readonly token: string | null
  /** The gateway's message if it requires a token, else null. */
  readonly wanted: string | null
  /** Number of logins and logouts; pages start over when it changes. */
  readonly generation: number
}

/** The session of this tab. */
export const session = signal<Session>({ token: load(KEPT, 'session'), wanted: null, generation: 0 })

/** Uses this token for all requests from now on; all pages start over. */
export const signIn = (token: string): void => {
  save(KEPT, token, 'session')
  session.set({ token, wanted: null, generation: session.get().generation + 1 })
}

export const signOut = (): void => {
  save(KEPT, null, 'session')
  session.set({ token: null, wanted: null, generation: session.get().generation + 1 })
}

/** Shows the sign-in form. */
export const askForToken = (reason: string): void => {
  session.set({ ...session.get(), wanted: reason })
}
