/** What a channel does at the moment. `closed` is the end, until `retry()`. */
export type ChannelState = 'connecting' | 'catching_up' | 'live' | 'waiting' | 'closed'

/**
 * Why a channel waits or is closed. `code` is one of the gateway's error codes where it refused the stream, else
 *
 * - `shutdown`, `token_expired`, `max_age`, `too_slow`: the gateway said so before it ended the stream;
 * - `log_changed`: the database was replaced, and is read from the beginning;
 * - `lost`: the connection broke; `silent`: nothing came for two heartbeats;
 * - `unreachable`: no connection could be had; `offline`: the same, and the browser says that it is offline;
 * - `not_a_stream`: something else than the gateway answers under this address;
 * - `token_failed`: the `token` function failed, and `message` says how;
 * - `frozen`: the browser has put the tab to sleep;
 * - `closed`: `close()` was called.
 */
export interface Why {
  readonly code: string
  /** HTTP status of a refusal. */
  readonly status?: number
  /** What the gateway or the browser said, in English. */
  readonly message?: string
  /** What to do about it, as the gateway said it. */
  readonly hint?: string
}

/** The first event of a stream: where it begins and what there is. All ids are db_ids; 0: none. */
export interface Hello {
  readonly log_id: string
  readonly cursor: number
  readonly first_db_id: number
  readonly last_db_id: number
  readonly server_time: string
}

/** Discard what was delivered before: everything from `first_db_id` on is delivered again. */
export interface Reset {
  /** `log_changed`: the database was replaced. The other reasons come from the gateway. */
  readonly reason: 'cursor_ahead' | 'cursor_invalid' | 'history_pruned' | 'log_changed'
  readonly first_db_id: number
  /** When, in milliseconds since 1970. */
  readonly at: number
}

/** How far the catching up has come: `at` of `to`, beginning behind `from`, all db_ids; `messages` delivered on the way. */
export interface Progress {
  readonly from: number
  readonly at: number
  readonly to: number
  readonly messages: number
}

/** Everything about a channel that a page may want to show. Times are milliseconds since 1970. */
export interface ChannelStatus {
  readonly state: ChannelState
  /** In `waiting` and `closed`; else null. */
  readonly why: Why | null
  /** In `waiting`: when the next attempt is made; null: once something happens, like waking up. */
  readonly retryAt: number | null
  /** Attempts in a row that failed. */
  readonly failures: number
  /** The last db_id that was delivered, or up to which there is nothing to deliver; null: not known yet. */
  readonly cursor: number | null
  /** The cursor with which the present (or last) connection was resumed; null: it began at its own start. */
  readonly resumedFrom: number | null
  /** Of the present (or last) connection. */
  readonly hello: Hello | null
  /** In `catching_up`; else null. */
  readonly progress: Progress | null
  /** The last one, if there was any. */
  readonly reset: Reset | null
  /** When anything came last, heartbeats included. */
  readonly heardAt: number | null
  /** When the last heartbeat came. */
  readonly heartbeatAt: number | null
  /** Nothing for so long, in milliseconds, and the line counts as dead. */
  readonly patienceMs: number
  /** Whose connection the messages come by: that of this tab alone, that of this tab for others too, or another tab's. */
  readonly connection: 'own' | 'leading' | 'following'
}

/** A message as delivered: the published object and the gateway's keys. */
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
   * @param message parsed as JavaScript does, which rounds integers beyond 2^53
   * @param text the JSON text in which every digit is as it was published
   */
  readonly onMessage: (message: Message, text: string) => void
  /** Called when the state, its reason or its connection changes. Figures that move all the time: see `channel.status`. */
  readonly onState?: (state: ChannelState, status: ChannelStatus) => void
  /** Called before everything is delivered again; clear what the page shows. */
  readonly onReset?: (reset: Reset) => void
  /** Deliver what comes after it. Absent: what the URL says, else from the beginning. */
  readonly lastMessageDbId?: number | 'latest'
  /** The `log_id` with which `lastMessageDbId` was kept: if it is another by now, the channel begins with a reset. */
  readonly logId?: string
  /** The token to get tickets with, asked for at each connect. Not needed where a cookie carries it. */
  readonly token?: () => string | Promise<string>
  /** How to ask for tickets, instead of or beside `token`: options of `fetch`. */
  readonly fetchOptions?: RequestInit
  /** Send cookies to a gateway on another origin. */
  readonly withCredentials?: boolean
  /** Where the gateway is, for an array of event ids; the page's own origin if absent. */
  readonly base?: string | URL
  /** False: a connection of its own for this tab, whatever other tabs do. */
  readonly share?: boolean
  /**
   * Who is reading, in any words. Tabs share a connection only if they give the same. With `token` or `fetchOptions`, and
   * for `event_id=*`, nothing is shared without it.
   */
  readonly identity?: string
  /** HEARTBEAT_SECONDS of the gateway, used until it has been learned from the heartbeats; 15 if absent. */
  readonly heartbeatSeconds?: number
}

export interface Channel {
  readonly state: ChannelState
  /** A new object each time it is asked for. */
  readonly status: ChannelStatus
  /** Tries at once, where the channel waits or was closed by a refusal. */
  retry(): void
  /** Ends it. No callback is called any more but the last `onState`. */
  close(): void
}
