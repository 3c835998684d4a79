import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { firefoxPath } from '../harness/provision.ts'
import { freePort, type Json, tempDir, until } from '../harness/wait.ts'
import { ROOT } from '../servers/gateway.ts'

const AXE = readFileSync(join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8')

const PREFERENCES = {
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'intl.accept_languages': 'en-US',
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
}

/** Prepares a folder as a profile, so that Firefox asks and requests nothing by itself. */
export const writeFirefoxPreferences = (dir: string): void => {
  const lines = Object.entries(PREFERENCES).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  )
  writeFileSync(join(dir, 'user.js'), lines.join(''))
}

/** A headless Firefox with one tab, driven by WebDriver BiDi, which Firefox itself speaks. */
export class Firefox {
  /** Errors of scripts and of the console. */
  readonly errors: string[] = []
  readonly #child: ChildProcess
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, PromiseWithResolvers<Json>>()
  #lastId = 0
  #context = ''

  private constructor(child: ChildProcess, socket: WebSocket) {
    this.#child = child
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#onMessage(JSON.parse(String(data)))
  }

  /** @throws Error if it is not installed */
  static async launch(): Promise<Firefox> {
    const path = firefoxPath()
    if (path === undefined) throw new Error('Firefox is not installed')
    const [dir, port] = [tempDir('gateway-firefox-'), await freePort()]
    writeFirefoxPreferences(dir)
    const args = ['--headless', '--no-remote', '--profile', dir, '--remote-debugging-port', String(port)]
    const env = { ...process.env, HOME: dir }
    const child = spawn(path, args, { env, detached: true, stdio: ['ignore', 'ignore', 'pipe'] })
    const spare = killAtExit(-child.pid!)
    child.once('exit', spare)
    let output = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
    const isListening = (): boolean => output.includes('WebDriver BiDi listening')
    await until(isListening, { what: 'Firefox', saw: () => output })
    const socket = new WebSocket(`ws://127.0.0.1:${port}/session`)
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = reject
    })
    const firefox = new Firefox(child, socket)
    await firefox.#start()
    return firefox
  }

  async goto(url: string): Promise<void> {
    await this.#send('browsingContext.navigate', { context: this.#context, url, wait: 'complete' })
  }

  /** Sets the size of the window in CSS pixels. */
  async resize(width: number, height: number): Promise<void> {
    await this.#send('browsingContext.setViewport', { context: this.#context, viewport: { width, height } })
  }

  /** Returns the value of an expression, or of the promise that it is. @throws Error if it throws */
  async evaluate<Value>(expression: string): Promise<Value> {
    const answer = await this.#send('script.evaluate', {
      expression: `(async () => JSON.stringify((await (${expression})) ?? null))()`,
      target: { context: this.#context },
      awaitPromise: true,
    })
    if (answer.type !== 'success') throw new Error(`${expression.slice(0, 200)}: ${answer.exceptionDetails.text}`)
    return JSON.parse(answer.result.value)
  }

  /** Waits until an expression is true. */
  holds(expression: string): Promise<unknown> {
    return until(() => this.evaluate<boolean>(`Boolean(${expression})`), { what: expression, saw: () => this.errors })
  }

  /** Waits for an element, and returns its text. */
  async text(selector: string): Promise<string> {
    let text: string | null = null
    const expression = `document.querySelector(${JSON.stringify(selector)})?.textContent`
    await until(async () => (text = await this.evaluate<string | null>(expression)) !== null, {
      what: selector,
      saw: () => this.errors,
    })
    return text!
  }

  async click(selector: string): Promise<void> {
    await this.text(selector)
    await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`)
  }

  /** Replaces the text of a field. */
  async fill(selector: string, text: string): Promise<void> {
    await this.text(selector)
    await this.evaluate(`(() => {
      const field = document.querySelector(${JSON.stringify(selector)})
      field.focus()
      field.value = ${JSON.stringify(text)}
      field.dispatchEvent(new InputEvent('input', { bubbles: true }))
    })()`)
  }

  /** Prints the page. @returns a PDF */
  async print(): Promise<Buffer> {
    return Buffer.from((await this.#send('browsingContext.print', { context: this.#context })).data, 'base64')
  }

  /** Returns the problems that axe finds in the page: each rule and the elements. */
  async violations(): Promise<string[]> {
    if (!(await this.evaluate('"axe" in window'))) {
      await this.#send('script.evaluate', { expression: AXE, target: { context: this.#context }, awaitPromise: false })
    }
    return this.evaluate(`axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target).join(' ')))`)
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#socket.close()
    killNow(-this.#child.pid!)
    await ended
  }

  async #start(): Promise<void> {
    await this.#send('session.new', { capabilities: {} })
    await this.#send('session.subscribe', { events: ['log.entryAdded'] })
    this.#context = (await this.#send('browsingContext.getTree', {})).contexts[0].context
  }

  #send(method: string, params: object): Promise<Json> {
    const id = ++this.#lastId
    const answer = Promise.withResolvers<Json>()
    this.#waiting.set(id, answer)
    this.#socket.send(JSON.stringify({ id, method, params }))
    return answer.promise
  }

  #onMessage(message: Json): void {
    if (message.type === 'event') {
      const { level, text } = message.params
      if (level === 'error') this.errors.push(text)
      return
    }
    const answer = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.type === 'success') answer?.resolve(message.result)
    else answer?.reject(new Error(`${message.error}: ${message.message}`))
  }
}
