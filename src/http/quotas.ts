import type { Context } from 'koa'
import type { CoordinatorClient } from '../cluster/coordinator.ts'
import { GatewayError } from '../core/errors.ts'
import { noop } from '../core/noop.ts'
import type { Access } from './auth/authorize.ts'
import type { RequestView } from './request-view.ts'
import type { TrustedProxies } from './trusted-proxies.ts'

/** Limits per caller, per address and in total. 0 disables a limit. */
export interface Limits {
  readonly streams: number
  readonly streamsPerToken: number
  readonly streamsPerAddress: number
  /** Messages per second, and burst, per token, or per address without tokens. */
  readonly publishRate: number
  readonly publishBurst: number
  /** Per worker. */
  readonly connections: number
  readonly connectionsPerAddress: number
  /** Timeouts for the head of a request and for the whole request, in milliseconds. */
  readonly headersMs: number
  readonly requestMs: number
}

/** Maximum bytes of request and response bodies in memory per worker; requests beyond it are refused. */
const MAX_BYTES = 256 * 1024 * 1024
/** Share of one token or address, so that a slow client only blocks itself. */
const MAX_BYTES_EACH = MAX_BYTES / 4
const RETRY_AFTER_MS = 5_000

const LIMIT_ERRORS: Record<string, () => GatewayError> = {
  all: () => new GatewayError('overloaded', 'MAX_STREAMS streams are open.', { retryAfterMs: RETRY_AFTER_MS }),
  token: () =>
    new GatewayError('too_many_streams', 'MAX_STREAMS_PER_TOKEN streams of this token are open.', {
      retryAfterMs: RETRY_AFTER_MS,
    }),
  address: () =>
    new GatewayError('too_many_streams', 'MAX_STREAMS_PER_ADDRESS streams of this address are open.', {
      retryAfterMs: RETRY_AFTER_MS,
    }),
}

/** Counts the usage of callers across all workers and refuses requests above the limits. */
export class Quotas {
  readonly #limits: Limits
  readonly #ask: CoordinatorClient
  readonly #proxies: TrustedProxies
  readonly #bytesOf = new Map<string, number>()
  #bytes = 0

  constructor(limits: Limits, ask: CoordinatorClient, proxies: TrustedProxies) {
    this.#limits = limits
    this.#ask = ask
    this.#proxies = proxies
  }

  /**
   * Acquires a slot for a stream.
   *
   * @returns a function that releases the slot when the stream ends; further calls do nothing
   * @throws GatewayError too_many_streams or overloaded
   */
  async acquireStream(asked: RequestView, { principal }: Access): Promise<() => void> {
    const { streams, streamsPerToken, streamsPerAddress } = this.#limits
    const address = this.#proxies.clientAddress(asked.req)
    const keys: [string, number][] = []
    if (streams > 0) keys.push(['all', streams])
    if (streamsPerToken > 0 && principal !== null) keys.push([`token ${principal.tokenId}`, streamsPerToken])
    if (streamsPerAddress > 0 && address !== null) keys.push([`address ${address}`, streamsPerAddress])
    if (keys.length === 0) return noop
    const { ok, key = '' } = await this.#ask({ do: 'enter', keys })
    if (!ok) throw LIMIT_ERRORS[key.split(' ')[0]!]!()
    let names = keys.map(([name]) => name)
    return () => {
      if (names.length > 0) void this.#ask({ do: 'leave', keys: names }).catch(noop)
      names = []
    }
  }

  /** @throws GatewayError rate_limited */
  async consumePublish(ctx: Context, { principal }: Access, amount: number): Promise<void> {
    const { publishRate: rate, publishBurst: burst } = this.#limits
    const who = this.#whoIs(ctx, principal)
    if (rate === 0 || who === null || amount === 0) return
    const { ok, waitMs = 0 } = await this.#ask({ do: 'spend', key: `publish ${who}`, amount, rate, burst })
    if (ok) return
    throw new GatewayError('rate_limited', 'PUBLISH_RATE is exceeded.', { retryAfterMs: waitMs })
  }

  /**
   * Counts the body bytes of a request and its response until the response is closed.
   *
   * @returns a function to call with each number of bytes held; it throws GatewayError overloaded if they are too many
   */
  trackBodyBytes(ctx: Context, { principal }: Access): (bytes: number) => void {
    // Loopback has no per-client quota: it may be an untrusted local proxy carrying all clients.
    const who = this.#whoIs(ctx, principal) ?? ''
    let held = 0
    let over = false
    const add = (bytes: number): void => {
      const own = (this.#bytesOf.get(who) ?? 0) + bytes
      this.#bytes += bytes
      held += bytes
      if (own > 0) this.#bytesOf.set(who, own)
      else this.#bytesOf.delete(who)
    }
    ctx.res.once('close', () => {
      over = true
      add(-held)
    })
    return (bytes) => {
      // The client has disconnected: these bytes are garbage collected, and no event would release them here.
      if (over) return
      const own = this.#bytesOf.get(who) ?? 0
      // A caller's only body may exceed the share, up to MAX_MESSAGE_BYTES.
      const greedy = who !== '' && own > held && own + bytes > MAX_BYTES_EACH
      if (greedy || this.#bytes + bytes > MAX_BYTES) {
        throw new GatewayError('overloaded', 'Too many large request bodies are in progress.', {
          retryAfterMs: RETRY_AFTER_MS,
        })
      }
      add(bytes)
    }
  }

  /** Returns the key that limits count by: the token, or the address if there is none; null for loopback. */
  #whoIs(ctx: Context, principal: Access['principal']): string | null {
    return principal?.tokenId ?? this.#proxies.clientAddress(ctx.req)
  }
}
