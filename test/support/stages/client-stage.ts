import { ChannelController } from '../../../src/web/client/channel.ts'
import type { ChannelOptions, ChannelState, Reset } from '../../../src/web/client/index.ts'
import { ModelBrowser } from './client-world.ts'

/** A tab of a separate browser, and its callbacks' data. */
export class ClientStage {
  readonly browser: ModelBrowser
  readonly tab: ChannelController
  readonly ids: number[] = []
  readonly states: ChannelState[] = []
  /** The codes of why it waited or was closed. */
  readonly reasons: string[] = []
  readonly resets: Reset[] = []
  readonly #life = { frozen: false }

  constructor(options: Partial<ChannelOptions> = {}, target: string | string[] = 'http://gateway/api/events/e/stream') {
    this.browser = new ModelBrowser(() => 0.5)
    this.tab = new ChannelController(this.browser.world(this.#life, false), target, {
      base: 'http://gateway',
      onMessage: ({ db_id }) => void this.ids.push(db_id),
      onState: (state, { reason }) => {
        this.states.push(state)
        if (reason !== null) this.reasons.push(reason.code)
      },
      onReset: (reset) => void this.resets.push(reset),
      ...options,
    })
  }

  get gateway(): ModelBrowser['gateway'] {
    return this.browser.gateway
  }

  /** Delivers everything that is pending. */
  async settle(): Promise<void> {
    while (await this.browser.step(0));
  }

  async start(): Promise<this> {
    this.tab.start()
    await this.settle()
    return this
  }

  /** Advances the time, with a heartbeat every `heartbeatMs`; null for none. */
  async pass(ms: number, heartbeatMs: number | null = 15_000): Promise<void> {
    const step = heartbeatMs ?? 1_000
    for (let at = 0; at < ms; at += step) {
      await this.browser.advance(Math.min(step, ms - at))
      if (heartbeatMs !== null) this.gateway.heartbeat()
      await this.settle()
    }
  }

  /** Milliseconds until the next attempt. */
  get waits(): number {
    return (this.tab.status.retryAt ?? Number.NaN) - this.browser.wall()
  }
}
