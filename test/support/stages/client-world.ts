import { setImmediate } from 'node:timers/promises'
import type { ClientPlatform } from '../../../src/web/client/platform.ts'
import { ModelGateway, ModelSource } from './model-gateway.ts'

interface Timer {
  readonly at: number
  readonly act: () => void
  readonly owner: Life
}

/**
 * A tab can hang: it receives nothing and none of its timers runs. Once it is closed, its pending work is discarded.
 */
export interface Life {
  frozen: boolean
  buried?: true
}

interface Waiter {
  readonly life: Life
  readonly onLead: () => void
  readonly onLost: () => void
}

interface Ear {
  readonly name: string
  readonly life: Life
  readonly onNote: (note: unknown) => void
  readonly notes: unknown[]
}

/** A browser with its own clocks, locks and storage, whose tabs are connected to a model of the gateway. */
export class ModelBrowser {
  readonly gateway: ModelGateway
  online = true
  /** Errors thrown by callbacks of pages. */
  readonly reports: unknown[] = []
  #clock = 0
  /** Offset of the wall clock, after sleep or a change of the clock. */
  #ahead = Date.parse('2026-11-22T10:00:00Z')
  #timers = new Set<Timer>()
  readonly #places = new Map<string, Waiter[]>()
  readonly #ears = new Set<Ear>()
  readonly #lifeBySource = new Map<ModelSource, Life>()
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
    this.gateway = new ModelGateway(() => this.wall())
  }

  wall(): number {
    return this.#clock + this.#ahead
  }

  /** The machine sleeps, or its clock is set: only the wall clock advances. */
  sleep(ms: number): void {
    this.#ahead += ms
  }

  world(life: Life, shares = true): ClientPlatform {
    return {
      now: () => this.wall(),
      monotonicNow: () => this.#clock,
      random: this.#random,
      setTimer: (ms, act) => {
        const timer = { at: this.#clock + ms, act, owner: life }
        if (!life.buried) this.#timers.add(timer)
        return () => void this.#timers.delete(timer)
      },
      source: (url) => {
        const source = new ModelSource(this.gateway, url)
        this.#lifeBySource.set(source, life)
        if (life.buried) source.close()
        return source
      },
      fetch: (url, options) => this.gateway.answer(url, options),
      report: (error) => void this.reports.push(error),
      online: () => this.online,
      requestLeadership: (name, steal, onLead, onLost) => this.#lead(name, steal, { life, onLead, onLost }),
      openBroadcast: (name, onNote) => {
        const ear: Ear = { name, life, onNote, notes: [] }
        this.#ears.add(ear)
        return {
          send: (note) => {
            for (const other of this.#ears) {
              if (other !== ear && other.name === name) other.notes.push(structuredClone(note))
            }
          },
          close: () => void this.#ears.delete(ear),
        }
      },
      canShare: shares,
    }
  }

  /** A tab is closed, or its process crashes: its locks are released. */
  bury(life: Life): void {
    life.buried = true
    for (const [source, owner] of this.#lifeBySource) if (owner === life) source.close()
    for (const ear of this.#ears) if (ear.life === life) this.#ears.delete(ear)
    for (const timer of this.#timers) if (timer.owner === life) this.#timers.delete(timer)
    for (const [name, waiters] of this.#places) {
      const led = waiters[0]?.life === life
      this.#places.set(
        name,
        waiters.filter((waiter) => waiter.life !== life),
      )
      if (led) this.#grant(name)
    }
  }

  /** Advances the clock, and runs due timers of tabs that are awake. */
  async advance(ms: number): Promise<void> {
    const end = this.#clock + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at, owner }) => at <= end && !owner.frozen)
      const first = due.sort((one, other) => one.at - other.at)[0]
      if (first === undefined) break
      this.#timers.delete(first)
      this.#clock = Math.max(this.#clock, first.at)
      first.act()
      await setImmediate()
    }
    this.#clock = end
  }

  /**
   * Delivers one thing: to a source of a tab that is awake, or to a tab from another one.
   *
   * @returns true if anything was delivered
   */
  async step(which: number): Promise<boolean> {
    await setImmediate()
    const sources = [...this.gateway.sources].filter((source) => !this.#lifeBySource.get(source)!.frozen)
    const ears = [...this.#ears].filter(({ life, notes }) => !life.frozen && notes.length > 0)
    const all: (() => boolean)[] = [
      ...sources.map((source) => () => source.step()),
      ...ears.map((ear) => () => {
        ear.onNote(ear.notes.shift())
        return true
      }),
    ]
    for (let n = 0; n < all.length; n++) {
      if (all[(which + n) % all.length]!()) return true
    }
    return false
  }

  #lead(name: string, steal: boolean, waiter: Waiter): () => void {
    const waiters = this.#places.get(name) ?? []
    this.#places.set(name, waiters)
    if (steal) {
      const led = waiters.shift()
      waiters.unshift(waiter)
      if (led !== undefined) this.#later(led.life, led.onLost)
      this.#later(waiter.life, waiter.onLead)
    } else if (waiters.push(waiter) === 1) this.#later(waiter.life, waiter.onLead)
    return () => {
      const at = this.#places.get(name)?.indexOf(waiter) ?? -1
      if (at < 0) return
      this.#places.get(name)?.splice(at, 1)
      if (at === 0) this.#grant(name)
    }
  }

  #grant(name: string): void {
    const next = this.#places.get(name)?.[0]
    if (next !== undefined) this.#later(next.life, () => this.#places.get(name)?.[0] === next && next.onLead())
  }

  #later(life: Life, act: () => void): void {
    this.#timers.add({ at: this.#clock, act, owner: life })
  }
}
