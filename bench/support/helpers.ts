import type { ConnectOptions, LatencyReport, OpenReport, Snapshot, Waited } from '../load/driver-calls.ts'
import type { FillOptions, RateOptions, RateReport } from '../load/publisher.ts'
import { Remote } from './remote.ts'

/** The readers, in a process of their own. */
export class Driver {
  readonly #remote = new Remote(new URL('../load/driver.ts', import.meta.url))

  get pid(): number {
    return this.#remote.pid
  }

  /** Opens readers; resolves when each has its answer's head (Socket.IO: is in its room). */
  open(options: ConnectOptions): Promise<OpenReport> {
    return this.#remote.call('open', options)
  }

  /** Messages and bytes of all readers so far. */
  snapshot(): Promise<Snapshot> {
    return this.#remote.call('snapshot')
  }

  /** Resolves when every reader has at least `each` messages, or after `timeoutMs` with `reached` below `readers`. */
  wait(each: number, timeoutMs: number): Promise<Waited> {
    return this.#remote.call('wait', { each, timeoutMs })
  }

  /** Publish → read of the sampled readers since the last call. */
  latencies(): Promise<LatencyReport> {
    return this.#remote.call('latencies')
  }

  /** The text that reader `index` has got so far; only readers opened with `keep`. */
  text(index: number): Promise<string> {
    return this.#remote.call('text', index)
  }

  /** Stops reading from every socket, or goes on. */
  pause(paused: boolean): Promise<void> {
    return this.#remote.call('pause', paused)
  }

  closeAll(): Promise<void> {
    return this.#remote.call('closeAll')
  }

  end(): Promise<void> {
    return this.#remote.close()
  }
}

/** The agents, in a process of their own. */
export class Publisher {
  readonly #remote = new Remote(new URL('../load/publisher.ts', import.meta.url))

  get pid(): number {
    return this.#remote.pid
  }

  /** Publishes a number of messages as fast as the peer takes them; resolves when the last is acknowledged. */
  fill(options: FillOptions): Promise<void> {
    return this.#remote.call('fill', options)
  }

  /** Starts to publish at a rate; several streams may run at once. @returns its number, for `stop` */
  start(options: RateOptions): Promise<number> {
    return this.#remote.call('start', options)
  }

  /** Ends a stream; resolves when everything of it is acknowledged, or after ten seconds. */
  stop(stream: number): Promise<RateReport> {
    return this.#remote.call('stop', stream)
  }

  /** How many messages of a stream are acknowledged so far. */
  sent(stream: number): Promise<number> {
    return this.#remote.call('sent', stream)
  }

  end(): Promise<void> {
    return this.#remote.close()
  }
}
