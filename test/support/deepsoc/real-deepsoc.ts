import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import Database from 'better-sqlite3'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { reportOnFailure } from '../harness/failure-report.ts'
import { limit } from '../harness/limits.ts'
import { deepsocPython } from '../harness/provision.ts'
import { freePort, getJson, type Json, postJson, tempDir, until } from '../harness/wait.ts'
import { ROOT } from '../servers/gateway.ts'

const ROLES = ['_captain', '_manager', '_operator', '_executor', '_expert'] as const

/** `web`, or the role of an agent. */
export type DeepsocProcess = 'web' | (typeof ROLES)[number]

export const JWT_SECRET_KEY = 'key-of-deepsoc-0123456789-0123456789'

/** The user that DeepSOC creates. */
export const ADMIN = { username: 'admin', password: 'admin123' }

/** Values of numbers stay as they are written, since some are beyond 2^53. */
const parseExactly = (text: string): Json =>
  JSON.parse(text, (_key, value, { source }: { source?: string } = {}) => (typeof value === 'number' ? source : value))

/** Applies an edit of the guide. @throws Error if the text to replace is not there once */
const edit = (file: string, before: string, after: string): void => {
  const parts = readFileSync(file, 'utf8').split(before)
  if (parts.length !== 2) throw new Error(`${file} contains ${parts.length - 1} times: ${before}`)
  writeFileSync(file, parts.join(after))
}

/**
 * DeepSOC from a checkout (DEEPSOC_DIR), copied to a temporary folder and changed as docs/DEEPSOC.md describes: the
 * line of the bridge in main.py and the script tag in warroom.html. Its language model and its SOAR are replaced.
 */
export class RealDeepsoc {
  readonly folder: string
  readonly port: number
  readonly #helperPort: number
  readonly #processes = new Map<string, { child: ChildProcess; ended: Promise<void> }>()
  #output = ''

  /** @param broker where RabbitMQ is reached */
  static async start(checkout: string, broker: { port: number }): Promise<RealDeepsoc> {
    const deepsoc = new RealDeepsoc(await freePort(), await freePort())
    deepsoc.#prepare(checkout, broker.port)
    deepsoc.#spawn('llm-and-soar', join(ROOT, 'test/support/deepsoc/llm_and_soar.py'), String(deepsoc.#helperPort))
    await until(() => getJson(`http://127.0.0.1:${deepsoc.#helperPort}/`), { what: 'LLM and SOAR' })
    for (const process of ['web', ...ROLES] as const) deepsoc.run(process)
    await deepsoc.ready()
    return deepsoc
  }

  private constructor(port: number, helperPort: number) {
    this.port = port
    this.#helperPort = helperPort
    this.folder = join(tempDir('gateway-deepsoc-'), 'deepsoc')
    reportOnFailure(() => `DeepSOC:\n${this.#output}`)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  #prepare(checkout: string, brokerPort: number): void {
    cpSync(checkout, this.folder, { recursive: true, filter: (path) => basename(path) !== '.git' })
    cpSync(join(ROOT, 'integrations/deepsoc/deepsoc_bridge.py'), join(this.folder, 'deepsoc_bridge.py'))
    const main = join(this.folder, 'main.py')
    writeFileSync(main, `import deepsoc_bridge; deepsoc_bridge.start()\n${readFileSync(main, 'utf8')}`)
    const tag = '<script src="/static/js/warroom.js"></script>'
    edit(join(this.folder, 'app/templates/warroom.html'), tag, `${tag}\n<script src="/gateway/deepsoc.js"></script>`)
    // Debian has no package of simple-websocket, without which Flask-SocketIO accepts no WebSocket.
    edit(
      join(this.folder, 'app/static/js/warroom.js'),
      "transports: ['websocket', 'polling']",
      "transports: ['polling']",
    )
    const helper = `http://127.0.0.1:${this.#helperPort}`
    const env = {
      DATABASE_URL: `sqlite:///${join(this.folder, 'deepsoc.db')}?timeout=60`,
      LLM_BASE_URL: `${helper}/v1`,
      LLM_API_KEY: 'key',
      LLM_MODEL: 'model',
      SOAR_API_URL: helper,
      SOAR_API_TOKEN: 'token',
      SOAR_API_TIMEOUT: 5,
      SOAR_RETRY_COUNT: 2,
      SECRET_KEY: 'secret',
      JWT_SECRET_KEY,
      JWT_ACCESS_TOKEN_EXPIRES: 86_400,
      LISTEN_HOST: '127.0.0.1',
      LISTEN_PORT: this.port,
      EVENT_MAX_ROUND: 3,
      EXPERT_EXECUTION_SUMMARY_INTERVAL: 2,
      EXPERT_LIFECYCLE_INTERVAL: 2,
      RABBITMQ_HOST: '127.0.0.1',
      RABBITMQ_PORT: brokerPort,
      RABBITMQ_USER: 'guest',
      RABBITMQ_PASSWORD: 'guest',
      RABBITMQ_VHOST: '/',
    }
    writeFileSync(
      join(this.folder, '.env'),
      Object.entries(env)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    const { status, stdout, stderr } = spawnSync(deepsocPython()!, ['-B', 'main.py', '-init'], {
      ...this.#options(),
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`main.py -init ended with ${status}:\n${stdout}${stderr}`)
  }

  #options(): { cwd: string; env: NodeJS.ProcessEnv } {
    const PYTHONPATH = join(ROOT, 'test/support/deepsoc/stand-ins')
    return { cwd: this.folder, env: { PATH: process.env.PATH, HOME: this.folder, PYTHONPATH, PYTHONUNBUFFERED: '1' } }
  }

  #spawn(name: string, ...args: string[]): void {
    const child = spawn(deepsocPython()!, ['-B', ...args], { ...this.#options(), stdio: ['ignore', 'pipe', 'pipe'] })
    child.once('exit', killAtExit(child.pid!))
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString().replaceAll(/^/gm, `${name}: `)).slice(-20_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    this.#processes.set(name, { child, ended: new Promise((resolve) => child.once('exit', () => resolve())) })
  }

  /** Starts a process; `web` listens once `ready` resolves. */
  run(process: DeepsocProcess): void {
    this.#spawn(process, 'main.py', ...(process === 'web' ? [] : ['-role', process]))
  }

  async ready(): Promise<void> {
    const isReady = (): Promise<boolean> => getJson(`${this.url}/health`).then(({ status }) => status === 200)
    await until(() => isReady().catch(() => false), { what: 'DeepSOC', saw: () => this.#output.slice(-2_000) })
  }

  /** Kills a process with SIGKILL. */
  async kill9(process: DeepsocProcess): Promise<void> {
    const { child, ended } = this.#processes.get(process)!
    killNow(child.pid!)
    await ended
  }

  /** Names of the processes that have exited. */
  exited(): string[] {
    return [...this.#processes].filter(([, { child }]) => child.exitCode !== null).map(([name]) => name)
  }

  async signIn(): Promise<Record<string, string>> {
    const { body } = await postJson(`${this.url}/api/auth/login`, ADMIN)
    return { authorization: `Bearer ${body.access_token}` }
  }

  /** Creates an event, which the agents begin to work on. @returns its id */
  async createEvent(name: string): Promise<string> {
    const event = { event_name: name, message: '192.0.2.7 在一分钟内登录失败 400 次', severity: 'high' }
    const headers = await this.signIn()
    const { status, body, text } = await postJson(`${this.url}/api/event/create`, event, { headers })
    if (status !== 200) throw new Error(`${status} ${text}`)
    return body.data.event_id
  }

  /** Runs a query on DeepSOC's database. */
  query(sql: string, ...values: string[]): Json[] {
    const db = new Database(join(this.folder, 'deepsoc.db'), { readonly: true, timeout: limit(60_000) })
    try {
      return db.prepare(sql).all(...values)
    } finally {
      db.close()
    }
  }

  /** The message_ids of an event in the order of DeepSOC's table. */
  messageIds(eventId: string): string[] {
    const rows = this.query('SELECT message_id FROM messages WHERE event_id = ? ORDER BY id', eventId)
    return rows.map(({ message_id }) => message_id)
  }

  /** Resolves when DeepSOC has completed the event. */
  async completed(eventId: string): Promise<void> {
    const status = (): string =>
      this.query('SELECT event_status FROM events WHERE event_id = ?', eventId)[0].event_status
    await until(() => status() === 'completed', { what: 'a completed event', saw: status, timeoutMs: limit(480_000) })
  }

  /** The messages of an event as DeepSOC's own page loads them, without the names that it adds. */
  async messages(eventId: string): Promise<Json[]> {
    const { text } = await getJson(`${this.url}/api/event/${eventId}/messages`, { headers: await this.signIn() })
    return parseExactly(text).data.map(({ user_nickname, user_username, ...row }: Json) => row)
  }

  async dispose(): Promise<void> {
    for (const { child, ended } of this.#processes.values()) {
      if (child.exitCode === null) killNow(child.pid!)
      await ended
    }
  }
}

/** The messages that a gateway has stored of an event, without the keys that it and the bridge add. */
export const storedMessages = async (
  gatewayUrl: string,
  eventId: string,
  headers: Record<string, string>,
): Promise<Json[]> => {
  const { text } = await getJson(`${gatewayUrl}/api/events/${eventId}/messages?limit=1000`, { headers })
  return parseExactly(text).data.map(({ db_id, received_at, user_nickname, user_username, ...row }: Json) => row)
}
