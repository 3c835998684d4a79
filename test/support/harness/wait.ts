import { mkdtempSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { removeAtExit } from './cleanup.ts'
import { ask } from './transport.ts'

/**
 * Polls until `condition` gives something truthy and returns that; a condition that throws counts as not met yet.
 * @throws Error naming `what` and the condition's last error when `timeoutMs` have passed
 */
export const until = async <T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 30_000, what = 'the condition', everyMs = 20 }: UntilOptions = {},
): Promise<NonNullable<Exclude<T, false>>> => {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as NonNullable<Exclude<T, false>>
      last = undefined
    } catch (error) {
      last = error
    }
    if (performance.now() >= deadline) {
      const because = last === undefined ? '' : `: ${last instanceof Error ? last.message : String(last)}`
      throw new Error(`${what} not within ${timeoutMs} ms${because}`, { cause: last })
    }
    await sleep(everyMs)
  }
}

export type UntilOptions = { timeoutMs?: number; what?: string; everyMs?: number }

/**
 * Rejects when `promise` has not settled after `timeoutMs`; what the promise stands for is not cancelled.
 * @throws Error naming `what`
 */
export const within = async <T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} not within ${timeoutMs} ms`)), timeoutMs)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

const taken = new Set<number>()

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

/**
 * A TCP port that is free on loopback and was not given out by this process before. It lies below the range from
 * which the system takes ports for outgoing connections, so that a server which is down for a while finds it free.
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (taken.has(port)) continue
    taken.add(port)
    if (await isFree(port)) return port
  }
}

/** A new empty folder, deleted when the process ends. */
export const tempDir = (prefix = 'gateway-test-'): string => {
  const dir = mkdtempSync(join(tmpdir(), prefix))
  removeAtExit(dir)
  return dir
}

/** Parsed JSON of any shape, to be looked into without ceremony. */
// biome-ignore lint/suspicious/noExplicitAny: a test asserts on the shape by looking at it
export type Json = any

/** `body` is the parsed JSON, or undefined where `text` is not JSON. */
export type HttpResult = { status: number; headers: IncomingHttpHeaders; body: Json; text: string }

export type HttpOptions = { headers?: Record<string, string>; timeoutMs?: number; signal?: AbortSignal }

/**
 * One HTTP request, by the transport of this process (test/support/harness/transport.ts).
 * @throws the socket's error, or Error after `timeoutMs` (default 20 s) without an answer
 */
export const request = async (
  method: string,
  url: string,
  payload?: string | Buffer,
  { headers = {}, timeoutMs = 20_000, signal }: HttpOptions = {},
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

/** POST with `application/json`: a text or bytes as they are, anything else through JSON.stringify; see {@link request}. */
export const postJson = (url: string, payload: unknown, options: HttpOptions = {}): Promise<HttpResult> => {
  const raw = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload)
  return request('POST', url, raw, { ...options, headers: { 'content-type': 'application/json', ...options.headers } })
}
