import type { Broadcast, ClientPlatform } from './platform.ts'
import type { ChannelStatus, Reset } from './types.ts'

/** A leader that does not answer within this, spread so that not all followers take its place at once, has hung. */
const ANSWER_MS = { minMs: 3_000, maxMs: 6_000 }

/** What a leader tells: where it stands. `log`: its log_id; `at`: the db_id up to which it has passed everything on. */
export interface LeaderStatus {
  readonly kind: 'standing'
  readonly leader: string
  readonly log: string | null
  readonly at: number | null
  readonly status: ChannelStatus
}

/** A message that a leader passes on: there is nothing between the db_ids `prev` and `id`. */
export interface RelayedMessage {
  readonly kind: 'message'
  readonly leader: string
  readonly log: string
  readonly prev: number
  readonly id: number
  readonly text: string
}

/** Discards what the leader sent before; it starts again. */
interface PassedReset {
  readonly kind: 'reset'
  readonly leader: string
  readonly log: string
  readonly reset: Reset
}

/** Where does the leader stand? `retry`: and if it waits, it shall try now. */
interface Ask {
  readonly kind: 'ask'
  readonly retry: boolean
}

type TabMessage = LeaderStatus | RelayedMessage | PassedReset | Ask

/** Who shares. */
export interface TabPeer {
  readonly patienceMs: number
  /** This tab holds the connection of all from now on, or no longer. */
  onLead(leads: boolean): void
  onStanding(standing: LeaderStatus): void
  onPassed(message: RelayedMessage): void
  onPassedReset(log: string, reset: Reset): void
  /** The leader is gone without having left. */
  onSilence(): void
  /** Where this leader stands. */
  readonly standing: Omit<LeaderStatus, 'kind' | 'leader'>
  /** A follower has asked: it may have noticed sooner that something is due. */
  onAsked(retry: boolean): void
}

/**
 * One of the tabs leads: it has the connection, and passes on what comes. Who leads is decided by a lock that the browser
 * takes back when the tab is closed or crashes. Two leaders, or none, cost a connection more or a moment: never a
 * message, since followers go by the db_ids alone.
 */
export class TabLeaderElection {
  isLeader = false
  readonly #world: ClientPlatform
  readonly #name: string
  readonly #sharer: TabPeer
  readonly #me: string
  readonly #post: Broadcast
  #leave: () => void
  /** Nobody listens until somebody has asked. */
  #isFollowed = false
  /** Who was last heard to lead. */
  #leader = ''
  /** When the leader was last heard, on the clock. */
  #heard: number
  /** When the leader, having been asked, counts as gone. */
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

  /** Asks the leader where it stands. @param retry if it waits, it shall try now */
  ask(retry = false): void {
    if (!this.isLeader) this.#send({ kind: 'ask', retry })
  }

  /** Tells all followers where this leader stands. */
  broadcastStatus(): void {
    if (this.isLeader) this.#send({ kind: 'standing', leader: this.#me, ...this.#sharer.standing })
  }

  /** Passes a message on. */
  relay(log: string, prev: number, id: number, text: string): void {
    if (this.isLeader && this.#isFollowed) this.#send({ kind: 'message', leader: this.#me, log, prev, id, text })
  }

  reset(log: string, reset: Reset): void {
    if (this.isLeader) this.#send({ kind: 'reset', leader: this.#me, log, reset })
  }

  /** Looks whether the leader is still there. */
  check(): void {
    if (this.isLeader) return
    const now = this.#world.monotonicNow()
    if (this.#deadline !== null && now >= this.#deadline) {
      this.#heard = now
      this.#deadline = null
      this.#leave()
      this.#leave = this.#queue(true)
      this.#sharer.onSilence()
    } else if (now - this.#heard >= this.#sharer.patienceMs) {
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
      // Who never led cannot lead here; it keeps its own connection, unless another tab can.
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
      // A new one passes nothing on until it is asked.
      if (note.leader !== this.#leader) this.ask()
      this.#leader = note.leader
      this.#sharer.onStanding(note)
    } else if (note.leader === this.#leader) {
      if (note.kind === 'message') this.#sharer.onPassed(note)
      else this.#sharer.onPassedReset(note.log, note.reset)
    }
  }
}
