import http from 'node:http'
import https from 'node:https'
import { buffer } from 'node:stream/consumers'
import { GatewayError } from '../core/errors.ts'
import { toUpstreamError } from './core-client.ts'
import type { ForwardedRequest, ForwardedResponse } from './status.ts'

/** Maximum silence of the core during a request, in milliseconds. */
const TIMEOUT_MS = 30_000
/** Idle connections are closed earlier than the core closes them, so that no request meets a closed one. */
const IDLE_MS = 15_000

const PASSED_HEADERS = ['content-type', 'retry-after', 'www-authenticate', 'accept-encoding'] as const

/** Sends requests to the core over connections that are kept. */
export class Forwarder {
  readonly #url: string
  readonly #agent: http.Agent

  /** @param url base URL of the core without a slash at its end */
  constructor(url: string) {
    this.#url = url
    const { Agent } = url.startsWith('https:') ? https : http
    this.#agent = new Agent({ keepAlive: true, timeout: IDLE_MS })
  }

  close(): void {
    this.#agent.destroy()
  }

  /** @throws GatewayError upstream_unreachable or upstream_certificate_untrusted */
  async forward({ method, path, headers, body }: ForwardedRequest): Promise<ForwardedResponse> {
    try {
      const response = await this.#send({ method, path, headers, body })
      const passed = PASSED_HEADERS.flatMap((name) => {
        const value = response.headers[name]
        return value === undefined ? [] : [[name, String(value)]]
      })
      return { status: response.statusCode ?? 502, headers: Object.fromEntries(passed), body: await buffer(response) }
    } catch (cause) {
      throw toUpstreamError(this.#url, cause)
    }
  }

  #send({ method, path, headers, body }: ForwardedRequest): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { request: start } = this.#url.startsWith('https:') ? https : http
      const request = start(`${this.#url}${path}`, { method, headers, agent: this.#agent, timeout: TIMEOUT_MS })
      request.once('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)))
      request.once('error', reject)
      request.once('response', (response) => {
        // The core can answer before it has read the whole body, for example if that is too large.
        body?.unpipe(request)
        resolve(response)
      })
      if (body === null) {
        request.end()
        return
      }
      // The frame must be the edge's own: what a client sends beyond a length would be read as the next request.
      request.setHeader('Transfer-Encoding', 'chunked')
      body.once('error', (error) => request.destroy(error))
      body.once('close', () => {
        if (!body.readableEnded) request.destroy(new GatewayError('request_aborted', 'The request was aborted.'))
      })
      body.pipe(request)
    })
  }
}
