/** What a caller wants to do. */
export type Action = 'read' | 'publish' | 'operate'

/** Who calls, and what they may touch. */
export interface Access {
  /** The events that may be read, or `*` for all. */
  readonly events: readonly string[] | '*'
}

/** What of a request decides on access. */
export interface Caller {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/**
 * The one function that every stream, page and REST answer passes (A1).
 *
 * @param events the events named by the request; `*`: all that the caller may read
 * @returns the events the caller gets
 * @throws GatewayError when the caller may not; a forbidden event and an unknown one look the same
 */
export type Authorise = (caller: Caller, action: Action, events: readonly string[] | '*') => Promise<Access>

/** `AUTH=none`: everybody who reaches the address may do everything. */
export const allowEverybody: Authorise = async (_caller, _action, events) => ({ events })
