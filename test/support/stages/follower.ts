import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Browser } from 'playwright-core'
import { writeFirefoxPreferences } from '../clients/firefox.ts'
import type { Runtime } from '../clients/sse-clients.ts'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { firefoxPath } from '../harness/provision.ts'
import { tempDir } from '../harness/wait.ts'

/** A client of others that follows a stream, and what it has reported. */
export interface Follower {
  /** The db_ids of its messages, in order of arrival. */
  readonly ids: readonly number[]
  /** True once it has ended for good. */
  readonly gaveUp: boolean
  /** Its errors, for the report of a failure. */
  readonly output: string
  stop(): Promise<void>
}

/** Serves the pages of followers, collects their reports, and is a proxy of the gateway, which answers 502 if that is away. */
export class PageServer {
  readonly port: number
  readonly #gateway: () => string
  readonly #pages = new Map<string, { code: string; onReport: (line: string) => void }>()
  readonly #server = http.createServer((request, response) => this.#serve(request, response))
  #count = 0

  constructor(port: number, gateway: () => string) {
    this.port = port
    this.#gateway = gateway
    this.#server.listen(port, '127.0.0.1')
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Returns the address of a page that runs this code. */
  add(code: string, onReport: (line: string) => void): string {
    const path = `/page-${++this.#count}`
    this.#pages.set(path, { code, onReport })
    return `${this.url}${path}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #serve(request: http.IncomingMessage, response: http.ServerResponse): void {
    const page = this.#pages.get(request.url!)
    if (page === undefined) this.#forward(request, response)
    else if (request.method === 'POST') {
      let text = ''
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      request.on('end', () => {
        page.onReport(text)
        response.end()
      })
    } else {
      response.setHeader('content-type', 'text/html; charset=utf-8')
      response.end(`<!doctype html><title>a client</title><script type="module">${page.code}</script>`)
    }
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { method, headers, url } = request
    const forwarded = http.request(this.#gateway() + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
      answer.once('close', () => answer.complete || response.destroy())
    })
    forwarded.once('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
    response.once('close', () => forwarded.destroy())
    request.pipe(forwarded)
  }
}

/** Bundles a client with its packages. @param folder contains node_modules */
const bundle = async (code: string, folder: string): Promise<string> => {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: folder },
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]!.text
}

export interface FollowerSetup {
  /** Folder with the installed packages. */
  readonly folder: string
  readonly pages: PageServer
  readonly browser: () => Promise<Browser>
}

/** Returns the command that runs a bundle in a runtime without pages. */
const getRuntimeCommand = (runtime: Runtime, folder: string): string[] => {
  const bin = join(folder, 'node_modules')
  if (runtime === 'Deno') return [join(bin, '@deno/linux-x64-glibc/deno'), 'run', '--allow-all', '--no-config']
  if (runtime === 'Bun') return [join(bin, '@oven/bun-linux-x64/bin/bun'), 'run']
  return runtime === 'Python' ? ['python3'] : [process.execPath]
}

/** Returns why a runtime cannot be had; null if it can. */
export const missingRuntime = (runtime: Runtime, folder: string): string | null => {
  if (runtime === 'Firefox') return firefoxPath() === undefined ? 'Firefox is not installed' : null
  if (runtime === 'Chromium') return null
  const [program = ''] = getRuntimeCommand(runtime, folder)
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0 ? null : `${runtime} is not installed`
}

/** Starts a client. @param code as in SseClient, or a Python script */
export const startFollower = async (
  runtime: Runtime,
  code: string,
  { url, token, flags = [] }: { readonly url: string; readonly token: string; readonly flags?: readonly string[] },
  { folder, pages, browser }: FollowerSetup,
): Promise<Follower> => {
  const ids: number[] = []
  const state = { gaveUp: false, output: '' }
  const onReport = (line: string): void => {
    if (line === 'gave up') state.gaveUp = true
    else if (/^\d+$/.test(line)) ids.push(Number(line))
    else state.output += `${line}\n`
  }
  const follower = (stop: () => Promise<void>): Follower => ({
    ids,
    get gaveUp() {
      return state.gaveUp
    },
    get output() {
      return state.output
    },
    stop,
  })
  const inPage = runtime === 'Chromium' || runtime === 'Firefox'
  const globals = `const url = ${JSON.stringify(url)}, token = ${JSON.stringify(token)}
const report = (text) => ${inPage ? 'send(String(text))' : 'console.log(String(text))'}
const giveUp = () => report('gave up')
// As in a program that does something else as well.
setInterval(() => {}, 60_000)
`
  // One after another, so that reports keep their order.
  const sender = `let last = Promise.resolve()
const send = (body) => void (last = last.then(() => fetch(location.href, { method: 'POST', body })))
addEventListener('error', ({ message }) => send(message))
document.cookie = 'access_token=' + ${JSON.stringify(token)}
`
  const script = runtime === 'Python' ? code : await bundle((inPage ? sender : '') + globals + code, folder)
  const page = inPage ? pages.add(script, onReport) : ''
  if (runtime === 'Chromium') {
    const context = await (await browser()).newContext()
    await (await context.newPage()).goto(page)
    return follower(() => context.close())
  }
  const dir = tempDir('gateway-client-')
  const file = join(dir, runtime === 'Python' ? 'client.py' : 'client.mjs')
  writeFileSync(file, script)
  writeFirefoxPreferences(dir)
  const [program, ...args] =
    runtime === 'Firefox'
      ? [firefoxPath()!, '--headless', '--no-remote', '--profile', dir, page]
      : [...getRuntimeCommand(runtime, folder), ...flags, file]
  const env = { ...process.env, HOME: dir, URL: url, TOKEN: token }
  const child = spawn(program!, args, { env, detached: true })
  const spare = killAtExit(-child.pid!)
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    if (!inPage) for (const line of lines) onReport(line)
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    state.output += chunk
  })
  child.once('exit', () => !inPage && onReport('gave up'))
  return follower(async () => {
    killNow(-child.pid!)
    await ended
    spare()
  })
}
