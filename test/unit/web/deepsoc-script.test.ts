import { join } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { type Json, until } from '../../support/harness/wait.ts'
import { warRoomPage } from '../../support/servers/deepsoc-page.ts'
import { ROOT } from '../../support/servers/gateway.ts'

const GATEWAY = 'https://gateway.example/base'

/** The part of an element that the page and the script use. */
class Element {
  id = ''
  textContent = ''
  title = ''
  className = ''
  readonly style = {}
  readonly dataset: Json = {}
  readonly #attributes = new Map<string, string>()
  #click = (): void => undefined

  setAttribute(name: string, value: string): void {
    this.#attributes.set(name, value)
  }

  matches(selector: string): boolean {
    const [, name, value] = /^\[(.+)="(.+)"\]$/.exec(selector)!
    return this.#attributes.get(name!) === value
  }

  addEventListener(_name: string, listener: () => void): void {
    this.#click = listener
  }

  click(): void {
    this.#click()
  }

  remove(): void {
    this.siblings = this.siblings.filter((one) => one !== this)
  }

  append(child: Element): void {
    this.siblings.push(child)
  }

  after(next: Element): void {
    this.siblings.push(next)
  }

  get siblings(): Element[] {
    return document.elements
  }

  set siblings(elements: Element[]) {
    document.elements = elements
  }
}

let document: { elements: Element[] }

/** A stream, whose events the test sends. */
class Stream {
  readonly url: string
  readonly #listeners = new Map<string, (event: Json) => void>()

  constructor(url: string) {
    this.url = url
  }

  addEventListener(name: string, listener: (event: Json) => void): void {
    this.#listeners.set(name, listener)
  }

  send(name: string, data: Json, id = 0): void {
    this.#listeners.get(name)?.({ data: JSON.stringify(data), lastEventId: String(id) })
  }

  close(): void {}
}

interface World {
  readonly rows: Json[]
  readonly streams: Stream[]
  readonly requests: string[]
  readonly errors: unknown[]
  /** Global variables that the script has made. */
  readonly added: string[]
  readonly run: (code: string) => Json
  readonly lines: () => string[]
  readonly badge: () => string
  /** Answers the page's own requests, which wait until then. */
  readonly answer: () => void
  /** Fires DOMContentLoaded. */
  readonly ready: () => void
}

let script = ''

/** Runs the scripts of DeepSOC's page, then the bundled script, as classic scripts of one page. */
const openPage = (page = warRoomPage('e 1', GATEWAY)): World => {
  const [rows, streams, requests, errors]: [Json[], Stream[], string[], unknown[]] = [[], [], [], []]
  const ready: (() => void)[] = []
  const answers = Promise.withResolvers<void>()
  const named = (id: string): Element => Object.assign(new Element(), { id })
  const event = named('event-id-data')
  event.dataset.eventId = 'e 1'
  document = { elements: [event, named('connection-status'), named('lines')] }
  const globals: Json = {
    document: {
      currentScript: { src: `${GATEWAY}/deepsoc.js` },
      cookie: '',
      body: named('body'),
      addEventListener: (name: string, listener: () => void) => name === 'DOMContentLoaded' && ready.push(listener),
      getElementById: (id: string) => document.elements.find((one) => one.id === id) ?? null,
      querySelectorAll: (selector: string) => document.elements.filter((one) => one.matches(selector)),
      createElement: () => new Element(),
    },
    EventSource: class extends Stream {
      constructor(url: string) {
        super(url)
        streams.push(this)
      }
    },
    fetch: async (url: string, { headers }: Json = {}) => {
      requests.push(`${url} ${new Headers(headers).get('authorization') ?? ''}`.trim())
      if (url.includes('/stream-tickets')) return { status: 201, json: async () => ({ data: { ticket: 't' } }) }
      await answers.promise
      const last = Number(new URL(url, 'http://deepsoc').searchParams.get('last_message_db_id')) || 0
      return { json: async () => ({ data: rows.filter(({ id }) => id > last) }) }
    },
    localStorage: { getItem: (name: string) => (name === 'access_token' ? 'the-token' : '{"user_id":"u-1"}') },
    location: { href: 'https://deepsoc.example/warroom/e' },
    navigator: { onLine: true },
    console: { ...console, error: (text: unknown) => errors.push(text) },
    reportError: (error: unknown) => errors.push(error),
    addEventListener: () => undefined,
    setInterval: () => 0,
    // No time passes on this page.
    setTimeout: () => 0,
    clearTimeout: () => undefined,
    ...{ URL, Headers, AbortController, AbortSignal, performance, queueMicrotask },
  }
  const context = createContext(globals)
  const run = (code: string): Json => runInContext(code, context)
  for (const [, code] of page.matchAll(/<script>([\s\S]*?)<\/script>/g)) run(code!)
  const before = Object.keys(context)
  run(script)
  return {
    added: Object.keys(context).filter((name) => !before.includes(name)),
    rows,
    streams,
    requests,
    errors,
    run,
    lines: () => document.elements.filter(({ id }) => id.startsWith('line-')).map(({ textContent }) => textContent),
    badge: () => document.elements.find(({ id }) => id === 'gateway-status')?.textContent ?? '',
    answer: answers.resolve,
    ready: () => {
      for (const listener of ready) listener()
    },
  }
}

const row = (id: number, fields: Json = {}): Json => ({ id, message_id: `m${id}`, db_id: id + 100, ...fields })

const test = suite('the script for DeepSOC’s page')

test.before(async () => {
  const entryPoints = [join(ROOT, 'src/web/deepsoc/index.ts')]
  const { outputFiles } = await build({ entryPoints, bundle: true, write: false, minify: true, format: 'iife' })
  script = outputFiles[0]!.text
})

test('finds the variables of the page, its event, its token, and the gateway by its own address', async () => {
  const page = openPage()
  page.rows.push(row(1))
  page.ready()
  page.answer()
  const [stream] = await until(() => page.streams.length > 0 && page.streams, { what: 'a stream' })
  assert.is(stream!.url, `${GATEWAY}/api/events/e%201/stream?last_message_db_id=latest&ticket=t`)
  assert.ok(page.requests.includes(`${GATEWAY}/api/stream-tickets Bearer the-token`), page.requests.join())
  assert.is(page.badge(), '网关：连接中')
  stream!.send('hello', { log_id: 'l', cursor: 101, first_db_id: 101, last_db_id: 101 }, 101)
  stream!.send('new_message', row(2), 102)
  stream!.send('caught_up', { last_message_db_id: 102 })
  assert.is(page.badge(), '网关：实时')
  await until(() => page.lines().join() === 'm1,m2', { what: 'both lines', saw: page.lines })
  page.run("addMessage({ message_id: 'thinking', message_type: 'thinking' })")
  stream!.send('new_message', row(3, { sender_type: 'ai' }), 103)
  assert.equal(page.lines(), ['m1', 'm2', 'm3'])
  assert.equal(page.errors, [])
})

test('adds no variable to the page', () => {
  const page = openPage('<script>const other = 1</script>')
  assert.equal(page.added, [])
  // A second declaration of a name at the top level would be an error.
  page.run(script)
})

test('loads the history of the page once, and then only what is new', async () => {
  const page = openPage()
  page.rows.push(row(1), row(2))
  page.ready()
  const [stream] = await until(() => page.streams.length > 0 && page.streams, { what: 'a stream' })
  stream!.send('hello', { log_id: 'l', cursor: 0, first_db_id: 0, last_db_id: 0 })
  page.answer()
  const loads = () => page.requests.filter((url) => url.includes('last_message_db_id='))
  await until(() => loads().length === 2, { what: 'the second load', saw: loads })
  assert.equal(
    loads().map((url) => url.slice(url.indexOf('=') + 1)),
    ['0', '2'],
  )
})

test('leaves a page alone that is not a war room of DeepSOC', () => {
  const page = openPage('<script>const other = 1</script>')
  page.ready()
  assert.match(String(page.errors), /not a war room/)
  assert.equal([page.streams.length, page.badge()], [0, ''])
})

test.run()
