import type { ChannelStatus } from '../client/index.ts'

/** Name of the token in DeepSOC's local storage and in its cookie. */
const NAME = 'access_token'

/** Returns DeepSOC's token from where its page reads it; null if the user is not signed in. Pure. */
export const findToken = (stored: string | null, cookies: string): string | null => {
  if (stored) return stored
  const pair = cookies.split('; ').find((one) => one.startsWith(`${NAME}=`))
  return pair?.slice(NAME.length + 1) || null
}

const readToken = (): string | null => findToken(localStorage.getItem(NAME), document.cookie)

/** Supplies the token of DeepSOC's page, and detects that the user has signed in again. */
export class PageToken {
  readonly #read: () => string | null
  #used: string | null = null

  constructor(read: () => string | null = readToken) {
    this.#read = read
  }

  /** @throws Error if the user is not signed in */
  readonly next = (): string => {
    this.#used = this.#read()
    if (this.#used === null) throw new Error('DeepSOC has no access_token: sign in.')
    return this.#used
  }

  /** Returns whether the stream waits for a token, and there is another one than the one that was refused. */
  isRenewed({ reason }: Pick<ChannelStatus, 'reason'>): boolean {
    if (!isTokenReason(reason)) return false
    const now = this.#read()
    return now !== null && now !== this.#used
  }
}

/** Returns whether the user must sign in again. */
export const isTokenReason = (reason: ChannelStatus['reason']): boolean =>
  reason !== null && (reason.status === 401 || reason.code === 'token_expired' || reason.code === 'token_failed')
