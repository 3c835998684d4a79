import { mkdtempSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { removeAtExit } from './cleanup.ts'
import { WAIT_MS } from './limits.ts'
import { ask } from './transport.ts'

export type UntilOptions = {
  /** Name of the condition. Default: its source text. */
  what?: string
  /** Returns the last state, for the error. */
  saw?: () => unknown
  /** Interval of the polls. Default: a tenth of the time waited so far, between 20 and 200 ms, since a poll costs CPU time. */
  everyMs?: number
  /** Default: the limit of all waits. */
  timeoutMs?: number
}

/**
 * Polls until `condition` returns something truthy, and returns that. A condition that throws counts as not met yet.
 * @throws Error after `timeoutMs`, naming `what` and the last state: `saw`, or the condition's last error or value
 */
export const until = async <T>(
  condition: () => T | Promise<T>,
  { what = describeCondition(condition), saw, everyMs, timeoutMs = WAIT_MS }: UntilOptions = {},
): Promise<NonNullable<Exclude<T, false>>> => {
  const from = performance.now()
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as NonNullable<Exclude<T, false>>
      last = value
    } catch (error) {
      last = error
    }
    const waited = performance.now() - from
    if (waited >= timeoutMs) {
      throw new Error(`${what}: not within ${timeoutMs} ms; last: ${show(saw ? saw() : last)}`, { cause: last })
    }
    await sleep(everyMs ?? Math.min(200, Math.max(20, waited / 10)))
  }
}

const describeCondition = (condition: () => unknown): string => condition.toString().replace(/\s+/g, ' ').slice(0, 160)

const show = (value: unknown): string => {
  if (value instanceof Error) return value.message
  return typeof value === 'string' ? value : inspect(value, { breakLength: 120, maxArrayLength: 20 })
}

const taken = new Set<number>()

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

/**
 * Returns a TCP port that is free on loopback and was not returned before by this process. It is below the range of
 * ephemeral ports, so that it is still free for a server that was down for a while.
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (taken.has(port)) continue
    taken.add(port)
    if (await isFree(port)) return port
  }
}

/** A new empty folder, deleted when the process exits. */
export const tempDir = (prefix = 'gateway-test-'): string => {
  const dir = mkdtempSync(join(tmpdir(), prefix))
  removeAtExit(dir)
  return dir
}

/** Parsed JSON of any shape, for assertions. */
// biome-ignore lint/suspicious/noExplicitAny: a test asserts on the shape by looking at it
export type Json = any

/** `body` is the parsed JSON, undefined if `text` is not JSON. */
export type HttpResult = { status: number; headers: IncomingHttpHeaders; body: Json; text: string }

export type HttpOptions = { headers?: Record<string, string>; timeoutMs?: number; signal?: AbortSignal }

/**
 * Sends one HTTP request over the transport of this process (test/support/harness/transport.ts).
 * @throws the socket's error, or Error without a response within `timeoutMs` (default: the limit of all waits)
 */
export const request = async (
  method: string,
  url: string,
  payload?: string | Buffer,
  { headers = {}, timeoutMs = WAIT_MS, signal }: HttpOptions = {},
): Promise<HttpResult> => {
  const length = payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload)) }
  const asked = ask(url, { method, headers: { ...length, ...headers }, payload, signal })
  const timer = setTimeout(() => asked.destroy(new Error(`${method} ${url}: no answer in ${timeoutMs} ms`)), timeoutMs)
  try {
    const answer = await asked.answer
    const chunks: Buffer[] = []
    for await (const chunk of answer.body) chunks.push(chunk as Buffer)
    if (!answer.complete()) throw new Error(`${method} ${url}: the answer broke off`)
    const text = Buffer.concat(chunks).toString('utf8')
    return { status: answer.status, headers: answer.headers, body: parseOrUndefined(text), text }
  } finally {
    clearTimeout(timer)
  }
}

const parseOrUndefined = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** GET; see {@link request}. */
export const getJson = (url: string, options?: HttpOptions): Promise<HttpResult> =>
  request('GET', url, undefined, options)

/** POST with `application/json`: text or bytes unchanged, anything else through JSON.stringify; see {@link request}. */
export const postJson = (url: string, payload: unknown, options: HttpOptions = {}): Promise<HttpResult> => {
  const raw = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload)
  return request('POST', url, raw, { ...options, headers: { 'content-type': 'application/json', ...options.headers } })
}
