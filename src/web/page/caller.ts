import { useEffect } from 'preact/hooks'
import { gatewayPath } from './base-path.ts'
import { ApiError, api, isDenied } from './shared/api.ts'
import { continueSession, session, startOver } from './shared/session.ts'
import { signal, useSignalValue } from './shared/signal.ts'

/** The user of the page, as the gateway knows it from the token. */
export interface Caller {
  /** Subject of the token; null if it has none, or without authentication. */
  readonly sub: string | null
  /** Display name, or null. */
  readonly name: string | null
  readonly scopes: readonly string[]
  /** Events that can be read. */
  readonly events: readonly string[] | '*'
  /** The token was entered on a page of this gateway, and can be discarded. */
  readonly session: boolean
}

const RETRY_MS = 3_000

const caller = signal<Caller | null>(null)

/** Returns the caller; null until the gateway has answered, and if it has refused the token. */
export const useCaller = (): Caller | null => useSignalValue(caller)

/** Requests the caller, once for all components. @param generation the caller is requested again when it changes */
export const useLoadedCaller = (generation: number): void => {
  useEffect(() => {
    if (caller.get() !== null) return
    const leave = new AbortController()
    let timer = 0
    const load = async (): Promise<void> => {
      try {
        const { data } = await api<{ data: Caller }>('/api/session', { signal: leave.signal })
        caller.set(data)
      } catch (error) {
        if (!isDenied(error) && !leave.signal.aborted) timer = window.setTimeout(load, RETRY_MS)
      }
    }
    load()
    return () => {
      leave.abort()
      clearTimeout(timer)
    }
  }, [generation])
}

/** Applies a change of the user. @param next null after a sign-out */
const apply = (next: Caller | null): void => {
  const isSame = next !== null && session.get().accepted && caller.get()?.sub === next.sub
  caller.set(next)
  if (isSame) continueSession()
  else startOver()
}

/** Sends changes of the user to the other tabs; opened by {@link shareCaller}. */
let tabs: BroadcastChannel | null = null

/** Lets all tabs of this gateway sign in and out together. */
export const shareCaller = (): void => {
  tabs = new BroadcastChannel(`deepsoc-gateway session ${gatewayPath('/')}`)
  tabs.onmessage = ({ data }: MessageEvent<Caller | null>) => apply(data)
}

const change = (next: Caller | null): void => {
  apply(next)
  tabs?.postMessage(next)
}

/** Lets the gateway keep a token in this browser. @throws ApiError if it is refused */
export const signIn = async (token: string): Promise<void> => {
  // Not by api(), which would show the reason of a refused token as the reason of the form.
  const headers = { Authorization: `Bearer ${token}` }
  const answer = await fetch(gatewayPath('/api/session'), { method: 'POST', headers })
  const body = (await answer.json().catch(() => ({}))) as Record<string, unknown>
  if (!answer.ok) throw new ApiError(answer.status, body)
  change(body.data as Caller)
}

/** Discards the token in this browser. @throws ApiError if the gateway does not answer */
export const signOut = async (): Promise<void> => {
  try {
    await api('/api/session', { method: 'DELETE' })
  } catch (error) {
    // The token has ended already.
    if (!isDenied(error)) throw error
  }
  change(null)
}
