import { signal } from './signal.ts'
import { load, save } from './storage.ts'

const KEPT = 'token'

export interface Session {
  /** Pasted by the reader, for this tab alone; null: the cookie says who they are, or nobody asks. */
  readonly token: string | null
  /** Why the gateway wants a token: its own words. null: it does not. */
  readonly wanted: string | null
  /** Counts the logins, so that a page starts again with each. */
  readonly generation: number
}

/** Who the reader is, as far as this tab knows. */
export const session = signal<Session>({ token: load(KEPT, 'session'), wanted: null, generation: 0 })

/** Every request sends this token from now on; all pages start again. */
export const signIn = (token: string): void => {
  save(KEPT, token, 'session')
  session.set({ token, wanted: null, generation: session.get().generation + 1 })
}

export const signOut = (): void => {
  save(KEPT, null, 'session')
  session.set({ token: null, wanted: null, generation: session.get().generation + 1 })
}

/** Shows the panel where a token can be given. */
export const askForToken = (reason: string): void => {
  session.set({ ...session.get(), wanted: reason })
}
