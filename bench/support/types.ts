import type { Broker } from '../../test/support/servers/rabbitmq.ts'
import type { Driver, Publisher } from './helpers.ts'

/** What one peer achieved at one point of a series, in one run. `lines` are curves for the plot: [x, y] pairs. */
export interface Sample {
  readonly peer: string
  /** The point of the series, e.g. `50 msg/s`. */
  readonly point: string
  readonly values: Readonly<Record<string, number>>
  readonly lines?: Readonly<Record<string, readonly (readonly [number, number])[]>>
  /** What a reader of the table must know about this figure. */
  readonly note?: string
}

/** Looks a value up in one run; undefined where that peer or point is not there. */
export type Lookup = (peer: string, point: string, key: string) => number | undefined

export interface Column {
  readonly key: string
  readonly label: string
  /** Decimals shown. */
  readonly digits: number
}

/** A ratio (or a plain figure) that is to be reached. It is computed in each run; the median counts. */
export interface Target {
  readonly what: string
  readonly bound: 'at most' | 'at least'
  readonly value: number
  /** @returns undefined where the run has not what it takes */
  readonly of: (run: Lookup) => number | undefined
  /** Text behind the figure, `×` if absent. */
  readonly unit?: string
}

export type Plot =
  | { readonly kind: 'bars'; readonly key: string; readonly label: string; readonly logarithmic?: boolean }
  | { readonly kind: 'lines'; readonly line: string; readonly x: string; readonly y: string }

/** What a series is given to work with. */
export interface Context {
  /** Small numbers, for a look whether everything works. */
  readonly quick: boolean
  /** The long form: what takes minutes to prepare. */
  readonly long: boolean
  readonly driver: Driver
  readonly publisher: Publisher
  /** A RabbitMQ node, started when first asked for. @throws Error when it cannot be had */
  broker(): Promise<Broker>
  /** Says on the terminal what goes on. */
  say(text: string): void
  /** Notes that a peer could not be had; the table says so. */
  missing(peer: string, why: string): void
  /** Folder for profiles of the gateway (`--cpu-prof`), or null. */
  readonly profileDir: string | null
  /** Worker processes of the gateway. */
  readonly workers: number
}

export interface Series {
  readonly name: string
  readonly title: string
  readonly columns: readonly Column[]
  readonly targets: readonly Target[]
  readonly plots: readonly Plot[]
  /** One run: every peer in turn, each freshly started. */
  run(context: Context): Promise<Sample[]>
}
