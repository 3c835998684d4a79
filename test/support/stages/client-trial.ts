import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { ChannelController } from '../../../src/web/client/channel.ts'
import { type Life, ModelBrowser } from './client-world.ts'

const choice = <T>(...values: T[]) => fc.constantFrom(...values)
const plain = <Name extends string>(...names: Name[]) => fc.record({ op: choice(...names) })
const ofTab = <Name extends string>(...names: Name[]) => fc.record({ op: choice(...names), which: fc.nat({ max: 20 }) })

const REFUSALS = [
  { status: 429, code: 'too_many_streams', retryAfter: 7 },
  { status: 503, code: 'overloaded', retryAfter: 5 },
  { status: 500, code: 'internal' },
  { status: 502 },
  { status: 401, code: 'token_expired' },
  { status: 403, code: 'event_forbidden' },
]

export const clientOperation = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 6 }),
      gap: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 14,
    arbitrary: fc.record({
      op: fc.constant('turns' as const),
      count: fc.integer({ min: 1, max: 12 }),
      which: fc.nat({ max: 50 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('advance' as const), ms: choice(10, 600, 2_500, 7_000, 40_000) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('sleep' as const), ms: choice(20_000, 3_600_000, -500_000) }) },
  { weight: 3, arbitrary: plain('heartbeat') },
  { weight: 4, arbitrary: plain('kill', 'start', 'start') },
  { weight: 2, arbitrary: plain('mute', 'unmute', 'unmute') },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('end' as const),
      reason: choice(
        'shutdown',
        'token_expired',
        'max_age',
        'too_slow',
        'database_corrupt',
        'database_unreachable',
        null,
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('refuse' as const),
      refusal: choice(...REFUSALS, null, null),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('replace' as const),
      how: choice('new' as const, 'restored' as const),
      count: fc.integer({ min: 1, max: 8 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('prune' as const), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: plain('offline', 'online') },
  { weight: 4, arbitrary: plain('open') },
  { weight: 2, arbitrary: ofTab('close', 'crash') },
  { weight: 3, arbitrary: ofTab('hang', 'wake', 'suspend', 'resume', 'retry') },
)

export type ClientOperation = typeof clientOperation extends fc.Arbitrary<infer T> ? T : never

interface Reader {
  readonly tab: ChannelController
  readonly life: Life
  /** Messages delivered since its last reset. */
  seen: { db_id: number; text: string }[]
  suspended: boolean
}

/** Tabs of one browser that read one event through all kinds of failures. */
export class ClientTrial {
  readonly browser: ModelBrowser
  readonly #readers: Reader[] = []
  readonly #shares: boolean
  /** The highest id assigned before an older copy was restored: ids up to it can be ambiguous. */
  #ambiguousTo = 0

  constructor(seed: number, shares: boolean) {
    let state = seed
    this.browser = new ModelBrowser(() => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    })
    this.#shares = shares
    this.#open()
  }

  /** @throws AssertionError if a tab received a duplicate or a message out of order, or has missed one at the end */
  async run(operations: readonly ClientOperation[]): Promise<void> {
    for (const operation of operations) await this.#do(operation)
    await this.#heal()
    this.#judge()
  }

  async #do(operation: ClientOperation): Promise<void> {
    const { gateway } = this.browser
    switch (operation.op) {
      case 'append':
        gateway.append(operation.count, operation.gap)
        break
      case 'turns':
        for (let n = 0; n < operation.count; n++) await this.browser.step(operation.which + n)
        break
      case 'advance':
        await this.browser.advance(operation.ms)
        break
      case 'sleep':
        this.browser.sleep(operation.ms)
        break
      case 'heartbeat':
        gateway.heartbeat()
        break
      case 'kill':
        gateway.kill()
        break
      case 'start':
        gateway.start()
        break
      case 'mute':
      case 'unmute':
        gateway.mute = operation.op === 'mute'
        break
      case 'end':
        gateway.end(operation.reason)
        break
      case 'refuse':
        gateway.refusal = operation.refusal
        break
      case 'replace':
        if (operation.how === 'restored') this.#ambiguousTo = Math.max(this.#ambiguousTo, gateway.head)
        gateway.replace(operation.how, operation.count)
        break
      case 'prune':
        gateway.prune(operation.count)
        break
      case 'offline':
      case 'online':
        this.#network(operation.op === 'online')
        break
      case 'open':
        if (this.#readers.length < 5) this.#open()
        break
      default:
        this.#toTab(operation.op, this.#readers[operation.which % this.#readers.length]!)
    }
  }

  #toTab(op: 'close' | 'crash' | 'hang' | 'wake' | 'suspend' | 'resume' | 'retry', reader: Reader): void {
    const { tab, life } = reader
    if (op === 'hang' || op === 'wake') {
      life.frozen = op === 'hang'
      return
    }
    if (op === 'crash' || (op === 'close' && !life.frozen)) {
      if (this.#readers.length === 1) return
      this.#readers.splice(this.#readers.indexOf(reader), 1)
      if (op === 'close') tab.close()
      this.browser.bury(life)
      return
    }
    if (life.frozen) return
    if (op === 'retry') tab.retry()
    else if (op === 'suspend') tab.suspend()
    else tab.start()
    if (op !== 'retry') reader.suspended = op === 'suspend'
  }

  #network(online: boolean): void {
    this.browser.online = online
    for (const { tab, life } of this.#readers) if (!life.frozen) tab.network(online)
  }

  #open(): void {
    const life: Life = { frozen: false }
    const world = this.browser.world(life, this.#shares)
    const reader: Reader = {
      life,
      seen: [],
      suspended: false,
      tab: new ChannelController(world, 'http://gateway/api/events/e/stream', {
        onMessage: ({ db_id }, text) => {
          assert.not(life.frozen)
          const last = reader.seen.at(-1)?.db_id ?? 0
          assert.ok(db_id > last, `${db_id} came behind ${last}`)
          reader.seen.push({ db_id, text })
        },
        onReset: () => {
          reader.seen = []
        },
      }),
    }
    this.#readers.push(reader)
    reader.tab.start()
  }

  /** Repairs everything, and advances the time. */
  async #heal(): Promise<void> {
    const { gateway } = this.browser
    gateway.start()
    gateway.refusal = null
    gateway.mute = false
    for (const { life } of this.#readers) life.frozen = false
    this.#network(true)
    for (const reader of this.#readers) {
      if (reader.suspended) reader.tab.start()
    }
    await this.#pass(90)
    for (const { tab } of this.#readers) if (tab.state === 'closed') tab.retry()
    await this.#pass(90)
    gateway.append(3)
    await this.#pass(90)
  }

  async #pass(seconds: number): Promise<void> {
    for (let at = 0; at < seconds; at += 5) {
      if (at % 15 === 0) this.browser.gateway.heartbeat()
      await this.browser.advance(5_000)
      while (await this.browser.step(0));
    }
  }

  #judge(): void {
    // Violations found by a client in its callbacks.
    for (const report of this.browser.reports) throw report
    const { rows, open } = this.browser.gateway
    for (const { tab, seen } of this.#readers) {
      assert.is(tab.state, 'live', JSON.stringify(tab.status))
      const given = new Map(seen.map(({ db_id, text }) => [db_id, text]))
      // A client that is away while an older copy is restored and grows cannot detect that its ids are ambiguous.
      const sure = rows.filter(({ db_id }) => db_id > this.#ambiguousTo)
      const missed = sure.filter(({ db_id, text }) => given.get(db_id) !== text)
      assert.equal(missed, [], JSON.stringify(tab.status))
    }
    const connections = this.#shares ? 1 : this.#readers.length
    assert.is(open.length, connections, `${this.#readers.map(({ tab }) => tab.status.connection)}`)
  }
}
