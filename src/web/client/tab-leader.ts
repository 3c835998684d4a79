import type { Broadcast, ClientPlatform } from './platform.ts'
import type { ChannelStatus, Reset } from './types.ts'

/** Time for a leader to reply before it is replaced; random, so that not all followers steal the lock at once. */
const ANSWER_MS = { minMs: 3_000, maxMs: 6_000 }

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
interface PassedReset {
  readonly kind: 'reset'
  readonly leader: string
  readonly log: string
  readonly reset: Reset
}

/** Requests the status of the leader. `retry` also makes a waiting leader reconnect now. */
interface Ask {
  readonly kind: 'ask'
  readonly retry: boolean
}

type TabMessage = LeaderStatus | RelayedMessage | PassedReset | Ask

/** The owner of an election. */
export interface TabPeer {
  /** Silence after which the leader is asked for its status, in milliseconds. */
  readonly idleTimeoutMs: number
  /** This tab became leader, or lost the leadership. */
  onLead(leads: boolean): void
  onStanding(standing: LeaderStatus): void
  onPassed(message: RelayedMessage): void
  onPassedReset(log: string, reset: Reset): void
  /** The leader did not reply in time. */
  onSilence(): void
  /** Status to broadcast while this tab leads. */
  readonly standing: Omit<LeaderStatus, 'kind' | 'leader'>
  /** A follower asked for the status, possibly because it noticed first that a check is due. */
  onAsked(retry: boolean): void
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
  readonly #world: ClientPlatform
  readonly #name: string
  readonly #sharer: TabPeer
  readonly #me: string
  readonly #post: Broadcast
  #leave: () => void
  /** Messages are relayed only after a follower has asked for the status. */
  #isFollowed = false
  /** Id of the last known leader. */
  #leader = ''
  /** Time of the leader's last message, by the monotonic clock. */
  #heard: number
  /** Time by which the leader must reply; null if it was not asked. */
  #deadline: number | null = null

  constructor(world: ClientPlatform, name: string, sharer: TabPeer) {
    this.#world = world
    this.#name = name
    this.#sharer = sharer
    this.#me = String(world.random())
    this.#heard = world.monotonicNow()
    this.#post = world.openBroadcast(name, (note) => this.#onNote(note as TabMessage))
    this.#leave = this.#queue(false)
    this.ask()
  }

  close(): void {
    this.isLeader = false
    this.#leave()
    this.#post.close()
  }

  /** Requests the status of the leader. @param retry also makes a waiting leader reconnect now */
  ask(retry = false): void {
    if (!this.isLeader) this.#send({ kind: 'ask', retry })
  }

  /** Sends the status to all followers, if this tab leads. */
  broadcastStatus(): void {
    if (this.isLeader) this.#send({ kind: 'standing', leader: this.#me, ...this.#sharer.standing })
  }

  /** Relays a message to the followers, if this tab leads. */
  relay(log: string, prev: number, id: number, text: string): void {
    if (this.isLeader && this.#isFollowed) this.#send({ kind: 'message', leader: this.#me, log, prev, id, text })
  }

  reset(log: string, reset: Reset): void {
    if (this.isLeader) this.#send({ kind: 'reset', leader: this.#me, log, reset })
  }

  /** Checks whether the leader still responds. */
  check(): void {
    if (this.isLeader) return
    const now = this.#world.monotonicNow()
    if (this.#deadline !== null && now >= this.#deadline) {
      this.#heard = now
      this.#deadline = null
      this.#leave()
      this.#leave = this.#queue(true)
      this.#sharer.onSilence()
    } else if (now - this.#heard >= this.#sharer.idleTimeoutMs) {
      const { minMs, maxMs } = ANSWER_MS
      this.#deadline ??= now + minMs + this.#world.random() * (maxMs - minMs)
      this.ask()
    }
  }

  #queue(steal: boolean): () => void {
    const onLead = (): void => {
      this.isLeader = true
      this.#isFollowed = false
      this.#sharer.onLead(true)
    }
    const onLost = (): void => {
      // Locks are unavailable: this tab cannot become leader and keeps its own connection, or follows another tab.
      if (!this.isLeader) return
      this.isLeader = false
      this.#heard = this.#world.monotonicNow()
      this.#leave = this.#queue(false)
      this.#sharer.onLead(false)
    }
    return this.#world.requestLeadership(this.#name, steal, onLead, onLost)
  }

  #send(note: TabMessage): void {
    this.#post.send(note)
  }

  #onNote(note: TabMessage): void {
    if (note.kind === 'ask') {
      if (!this.isLeader) return
      this.#isFollowed = true
      this.#sharer.onAsked(note.retry)
      this.broadcastStatus()
      return
    }
    if (this.isLeader) return
    this.#heard = this.#world.monotonicNow()
    this.#deadline = null
    if (note.kind === 'standing') {
      // A new leader relays nothing until it is asked.
      if (note.leader !== this.#leader) this.ask()
      this.#leader = note.leader
      this.#sharer.onStanding(note)
    } else if (note.leader === this.#leader) {
      if (note.kind === 'message') this.#sharer.onPassed(note)
      else this.#sharer.onPassedReset(note.log, note.reset)
    }
  }
}
