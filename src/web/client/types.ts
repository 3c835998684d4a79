/** State of a channel. `closed` is final unless `retry()` is called after a refusal. */
export type ChannelState = 'connecting' | 'catching_up' | 'live' | 'waiting' | 'closed'

/**
 * Why a channel is waiting or closed. `code` is an error code of the gateway if it refused the stream, else one of
 *
 * - `shutdown`, `token_expired`, `max_age`, `too_slow`, `database_corrupt`, `database_unreachable`, `upstream_reset`: reason in the
 *   gateway's `closing` event;
 * - `log_changed`: the database was replaced, and is read from the beginning;
 * - `connection_lost`: the connection broke; `heartbeat_timeout`: nothing was received for two heartbeat intervals;
 * - `unreachable`: the connection failed; `offline`: the same, and the browser reports that it is offline;
 * - `not_a_stream`: the response does not come from a gateway;
 * - `token_failed`: the `token` function threw, and `message` is its error;
 * - `tab_frozen`: the browser has suspended the tab;
 * - `closed`: `close()` was called.
 */
export interface StateReason {
  readonly code: string
  /** HTTP status of a refusal. */
  readonly status?: number
  /** Message of the gateway or the browser, in English. */
  readonly message?: string
  /** The gateway's hint, in English. */
  readonly hint?: string
}

/** The first event of a stream: its cursor and the range of stored messages. All ids are db_ids; 0 if there is none. */
export interface Hello {
  readonly log_id: string
  readonly cursor: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly server_time: string
  /** The events that are sent; `*` for all. */
  readonly events: readonly string[] | '*'
  /** The filters that hold; null for all values. */
  readonly filters: { readonly message_type: readonly string[] | null; readonly message_from: readonly string[] | null }
}

/** Earlier messages are to be discarded: everything from `first_db_id` on is delivered again. */
export interface Reset {
  /** `log_changed` means that the database was replaced. The other reasons come from the gateway. */
  readonly reason: 'cursor_ahead' | 'cursor_invalid' | 'history_pruned' | 'log_changed'
  readonly first_db_id: number
  /** Time of the reset in milliseconds since 1970. */
  readonly at: number
}

/** Progress of catching up: from after `from`, now at `at`, to `to`, all db_ids; `messages` delivered meanwhile. */
export interface Progress {
  readonly from: number
  readonly at: number
  readonly to: number
  readonly messages: number
}

/** Status of a channel, for display. Times are milliseconds since 1970. */
export interface ChannelStatus {
  readonly state: ChannelState
  /** Set in `waiting` and `closed`, else null. */
  readonly reason: StateReason | null
  /** Time of the next attempt in `waiting`; null if it depends on an event, such as the tab being resumed. */
  readonly retryAt: number | null
  /** Consecutive failed attempts. */
  readonly failures: number
  /** The last db_id that was delivered, or up to which there is nothing to deliver; null if not known yet. */
  readonly cursor: number | null
  /** Cursor from which the current (or last) connection resumed; null if it did not resume. */
  readonly resumedFrom: number | null
  /** `hello` of the current (or last) connection. */
  readonly hello: Hello | null
  /** Set in `catching_up`, else null. */
  readonly progress: Progress | null
  /** The last reset; null if there was none. */
  readonly reset: Reset | null
  /** Time of the last event, heartbeats included. */
  readonly lastEventAt: number | null
  /** Time of the last heartbeat. */
  readonly heartbeatAt: number | null
  /** Idle timeout after which the connection is considered dead, in milliseconds. */
  readonly idleTimeoutMs: number
  /** Source of the messages: this tab's connection (`own`; `leading` if other tabs use it too), or another tab's. */
  readonly connection: 'own' | 'leading' | 'following'
}

/** A delivered message: the published object with the gateway's fields. */
export interface Message {
  readonly db_id: number
  readonly event_id: string
  readonly message_id: string
  readonly received_at: string
  readonly [field: string]: unknown
}

export interface ChannelOptions {
  /**
   * Called for each message once, in the order of db_id.
   *
   * @param message parsed by JSON.parse, which rounds integers beyond 2^53
   * @param text the JSON text with every digit as published
   */
  readonly onMessage: (message: Message, text: string) => void
  /** Called when the state, its reason or its connection changes, but not for progress: see `channel.status`. */
  readonly onState?: (state: ChannelState, status: ChannelStatus) => void
  /** Called before everything is delivered again; the page must discard its messages. */
  readonly onReset?: (reset: Reset) => void
  /** Cursor: messages after it are delivered. Default: the cursor in the URL, else the beginning. */
  readonly lastMessageDbId?: number | 'latest'
  /** The `log_id` of `lastMessageDbId`. If the gateway has another one, the channel begins with a reset. */
  readonly logId?: string
  /** Returns the token for tickets; called for each connection. Not needed if a cookie has the token. */
  readonly token?: () => string | Promise<string>
  /** `fetch` options of ticket requests, instead of or in addition to `token`. */
  readonly fetchOptions?: RequestInit
  /** Send cookies to a gateway on another origin. */
  readonly withCredentials?: boolean
  /** Address of the gateway for an array of event ids, with its path if it has one. Default: the origin of the page, with BASE_PATH in `/client.js`. */
  readonly base?: string | URL
  /** False if this tab must always use its own connection. */
  readonly share?: boolean
  /**
   * Any string that identifies the user. Tabs share a connection only if they have the same one. With `token` or
   * `fetchOptions`, and for `event_id=*`, it is required for sharing.
   */
  readonly identity?: string
  /** HEARTBEAT_SECONDS of the gateway, used until the interval is learned from heartbeats. Default: 15. */
  readonly heartbeatSeconds?: number
}

export interface Channel {
  readonly state: ChannelState
  /** A new object for each read. */
  readonly status: ChannelStatus
  /** Reconnects now if the channel is waiting or was closed by a refusal. */
  retry(): void
  /** Closes the channel. No callback is called after the last `onState`. */
  close(): void
}
