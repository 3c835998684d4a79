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
  /** Time for which an idle connection is kept for its next request, in milliseconds. */
  readonly keepAliveMs: number
}

/** Maximum bytes of request and response bodies in memory per worker; requests beyond it are refused. */
const MAX_BYTES = 256 * 1024 * 1024
/** Share of one token or address, so that a slow client only blocks itself. */
const MAX_BYTES_PER_OWNER = MAX_BYTES / 4
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
  readonly #coordinate: CoordinatorClient
  readonly #proxies: TrustedProxies
  readonly #bytesByOwner = new Map<string, number>()
  #bytes = 0

  constructor(limits: Limits, coordinate: CoordinatorClient, proxies: TrustedProxies) {
    this.#limits = limits
    this.#coordinate = coordinate
    this.#proxies = proxies
  }

  /**
   * Acquires a slot for a stream.
   *
   * @returns a function that releases the slot when the stream ends; further calls do nothing
   * @throws GatewayError too_many_streams or overloaded
   */
  async acquireStream(request: RequestView, { principal }: Access): Promise<() => void> {
    const { streams, streamsPerToken, streamsPerAddress } = this.#limits
    const address = this.#proxies.clientAddress(request.req)
    const keys: [string, number][] = []
    if (streams > 0) keys.push(['all', streams])
    if (streamsPerToken > 0 && principal !== null) keys.push([`token ${principal.tokenId}`, streamsPerToken])
    if (streamsPerAddress > 0 && address !== null) keys.push([`address ${address}`, streamsPerAddress])
    if (keys.length === 0) return noop
    const { ok, key = '' } = await this.#coordinate({ do: 'acquire', keys })
    if (!ok) throw LIMIT_ERRORS[key.split(' ')[0]!]!()
    let names = keys.map(([name]) => name)
    return () => {
      if (names.length > 0) void this.#coordinate({ do: 'release', keys: names }).catch(noop)
      names = []
    }
  }

  /** @throws GatewayError rate_limited */
  async consumePublish(ctx: Context, access: Access, amount: number): Promise<void> {
    const { publishRate: rate, publishBurst: burst } = this.#limits
    const owner = this.getOwner(ctx, access)
    if (rate === 0 || owner === null || amount === 0) return
    const { ok, waitMs = 0 } = await this.#coordinate({ do: 'consume', key: `publish ${owner}`, amount, rate, burst })
    if (ok) return
    throw new GatewayError('rate_limited', 'PUBLISH_RATE is exceeded.', { retryAfterMs: waitMs })
  }

  /**
   * Counts the body bytes of a request and its response until the response is closed.
   *
   * @returns a function to call with each number of bytes held; it throws GatewayError overloaded if they are too many
   */
  trackBodyBytes(ctx: Context, access: Access): (bytes: number) => void {
    // Loopback has no per-client quota: it may be an untrusted local proxy carrying all clients.
    const owner = this.getOwner(ctx, access) ?? ''
    let trackedBytes = 0
    let isClosed = false
    const add = (bytes: number): void => {
      const ownerBytes = (this.#bytesByOwner.get(owner) ?? 0) + bytes
      this.#bytes += bytes
      trackedBytes += bytes
      if (ownerBytes > 0) this.#bytesByOwner.set(owner, ownerBytes)
      else this.#bytesByOwner.delete(owner)
    }
    ctx.res.once('close', () => {
      isClosed = true
      add(-trackedBytes)
    })
    return (bytes) => {
      // The client has disconnected: these bytes are garbage collected, and no event would release them here.
      if (isClosed) return
      const ownerBytes = this.#bytesByOwner.get(owner) ?? 0
      // A caller's only body may exceed the share, up to MAX_MESSAGE_BYTES.
      const exceedsShare = owner !== '' && ownerBytes > trackedBytes && ownerBytes + bytes > MAX_BYTES_PER_OWNER
      if (exceedsShare || this.#bytes + bytes > MAX_BYTES) {
        throw new GatewayError('overloaded', 'Too many large request bodies are in progress.', {
          retryAfterMs: RETRY_AFTER_MS,
        })
      }
      add(bytes)
    }
  }

  /** Returns the key that limits count by: the token, or the address if there is none; null for loopback. */
  getOwner(ctx: Context, { principal }: Access): string | null {
    return principal?.tokenId ?? this.#proxies.clientAddress(ctx.req)
  }
}
