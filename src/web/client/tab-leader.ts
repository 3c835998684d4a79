import type { Broadcast, ClientPlatform } from './platform.ts'
import type { ChannelStatus, Reset } from './types.ts'

/** Time for a leader to reply before it is replaced; random, so that not all followers steal the lock at once. */
const REPLY_TIMEOUT_MS = { minMs: 3_000, maxMs: 6_000 }

/** Status of a leader. `log` is its log_id; `at` is the db_id up to which it has relayed everything. */
export interface LeaderStatus {
  readonly kind: 'standing'
  readonly leader: string
  readonly log: string | null
  readonly at: number | null
  readonly status: ChannelStatus
}

/** A message relayed by the leader. There are no messages between the db_ids `prev` and `id`. */
export interface RelayedMessage {
  readonly kind: 'message'
  readonly leader: string
  readonly log: string
  readonly prev: number
  readonly id: number
  readonly text: string
}

/** Discards everything that the leader relayed before. */
interface RelayedReset {
  readonly kind: 'reset'
  readonly leader: string
  readonly log: string
  readonly reset: Reset
}

/** Requests the status of the leader. `retry` also makes a waiting leader reconnect now. */
interface StatusRequest {
  readonly kind: 'ask'
  readonly retry: boolean
}

type TabMessage = LeaderStatus | RelayedMessage | RelayedReset | StatusRequest

/** The owner of an election. */
export interface TabPeer {
  /** Silence after which the leader is asked for its status, in milliseconds. */
  readonly idleTimeoutMs: number
  /** This tab became leader, or lost the leadership. */
  onLead(isLeader: boolean): void
  onLeaderStatus(status: LeaderStatus): void
  onRelayed(message: RelayedMessage): void
  onRelayedReset(log: string, reset: Reset): void
  /** The leader did not reply in time. */
  onLeaderTimeout(): void
  /** Status to broadcast while this tab leads. */
  readonly ownStatus: Omit<LeaderStatus, 'kind' | 'leader'>
  /** A follower asked for the status, possibly because it noticed first that a check is due. */
  onStatusRequested(retry: boolean): void
}

/**
 * Elects the tab that has the connection and relays its messages. The leader holds a Web Lock, which the browser
 * releases when the tab is closed or crashes. Having two leaders or none costs an extra connection or a delay, but
 * never a message, since followers rely only on db_ids.
 *
 * - follower: waits for the lock. Lock granted → leader.
 * - asking: a follower whose leader was silent for `idleTimeoutMs`. Any message of a leader → follower. No reply until the
 *   deadline → steals the lock: follower, then leader once it is granted.
 * - leader: holds the lock. Lock stolen → follower, in the queue again.
 * - closed: after `close()`, from any state.
 */
export class TabLeaderElection {
  isLeader = false
  readonly #platform: ClientPlatform
  readonly #name: string
  readonly #peer: TabPeer
  readonly #id: string
  readonly #broadcast: Broadcast
  #release: () => void
  /** Messages are relayed only after a follower has asked for the status. */
  #isFollowed = false
  /** Id of the last known leader. */
  #leader = ''
  /** Time of the leader's last message, by the monotonic clock. */
  #lastMessageAt: number
  /** Time by which the leader must reply; null if it was not asked. */
  #deadline: number | null = null

  constructor(platform: ClientPlatform, name: string, peer: TabPeer) {
    this.#platform = platform
    this.#name = name
    this.#peer = peer
    this.#id = String(platform.random())
    this.#lastMessageAt = platform.monotonicNow()
    this.#broadcast = platform.openBroadcast(name, (message) => this.#onMessage(message as TabMessage))
    this.#release = this.#queue(false)
    this.requestStatus()
  }

  close(): void {
    this.isLeader = false
    this.#release()
    this.#broadcast.close()
  }

  /** Requests the status of the leader. @param retry also makes a waiting leader reconnect now */
  requestStatus(retry = false): void {
    if (!this.isLeader) this.#send({ kind: 'ask', retry })
  }

  /** Sends the status to all followers, if this tab leads. */
  broadcastStatus(): void {
    if (this.isLeader) this.#send({ kind: 'standing', leader: this.#id, ...this.#peer.ownStatus })
  }

  /** Relays a message to the followers, if this tab leads. */
  relay(log: string, prev: number, id: number, text: string): void {
    if (this.isLeader && this.#isFollowed) this.#send({ kind: 'message', leader: this.#id, log, prev, id, text })
  }

  reset(log: string, reset: Reset): void {
    if (this.isLeader) this.#send({ kind: 'reset', leader: this.#id, log, reset })
  }

  /** Checks whether the leader still responds. */
  check(): void {
    if (this.isLeader) return
    const now = this.#platform.monotonicNow()
    if (this.#deadline !== null && now >= this.#deadline) {
      this.#lastMessageAt = now
      this.#deadline = null
      this.#release()
      this.#release = this.#queue(true)
      this.#peer.onLeaderTimeout()
    } else if (now - this.#lastMessageAt >= this.#peer.idleTimeoutMs) {
      const { minMs, maxMs } = REPLY_TIMEOUT_MS
      this.#deadline ??= now + minMs + this.#platform.random() * (maxMs - minMs)
      this.requestStatus()
    }
  }

  #queue(steal: boolean): () => void {
    const onLead = (): void => {
      this.isLeader = true
      this.#isFollowed = false
      this.#peer.onLead(true)
    }
    const onLost = (): void => {
      // Locks are unavailable: this tab cannot become leader and keeps its own connection, or follows another tab.
      if (!this.isLeader) return
      this.isLeader = false
      this.#lastMessageAt = this.#platform.monotonicNow()
      this.#release = this.#queue(false)
      this.#peer.onLead(false)
    }
    return this.#platform.requestLeadership(this.#name, steal, onLead, onLost)
  }

  #send(message: TabMessage): void {
    this.#broadcast.send(message)
  }

  #onMessage(message: TabMessage): void {
    if (message.kind === 'ask') {
      if (!this.isLeader) return
      this.#isFollowed = true
      this.#peer.onStatusRequested(message.retry)
      this.broadcastStatus()
      return
    }
    if (this.isLeader) return
    this.#lastMessageAt = this.#platform.monotonicNow()
    this.#deadline = null
    if (message.kind === 'standing') {
      // A new leader relays nothing until it is asked.
      if (message.leader !== this.#leader) this.requestStatus()
      this.#leader = message.leader
      this.#peer.onLeaderStatus(message)
    } else if (message.leader === this.#leader) {
      if (message.kind === 'message') this.#peer.onRelayed(message)
      else this.#peer.onRelayedReset(message.log, message.reset)
    }
  }
}
