import { useEffect, useState } from 'preact/hooks'
import { ApiError, api } from './shared/api.ts'

/** The user of the page, as the gateway knows it from the token. */
export interface Caller {
  /** Subject of the token; null if it has none, or without authentication. */
  readonly sub: string | null
  /** Display name, or null. */
  readonly name: string | null
  readonly scopes: readonly string[]
  /** Events that can be read. */
  readonly events: readonly string[] | '*'
}

const RETRY_MS = 3_000

/** Requests the caller. @returns null until the gateway has answered, and if it refuses the token */
export const useCaller = (): Caller | null => {
  const [caller, setCaller] = useState<Caller | null>(null)
  useEffect(() => {
    const leave = new AbortController()
    let timer = 0
    const load = async (): Promise<void> => {
      try {
        setCaller((await api<{ data: Caller }>('/api/session', { signal: leave.signal })).data)
      } catch (error) {
        const isRefused = error instanceof ApiError && (error.status === 401 || error.status === 403)
        if (!isRefused && !leave.signal.aborted) timer = window.setTimeout(load, RETRY_MS)
      }
    }
    load()
    return () => {
      leave.abort()
      clearTimeout(timer)
    }
  }, [])
  return caller
}
