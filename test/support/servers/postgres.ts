import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { killAtExit, killNow, removeAtExit } from '../harness/cleanup.ts'
import { limit } from '../harness/limits.ts'
import { isRunning, listChildren } from '../harness/processes.ts'
import { postgresBin } from '../harness/provision.ts'
import { freePort, until } from '../harness/wait.ts'
import type { MessageRow, RejectedRow } from './database.ts'
import { fastDir } from './fast-dir.ts'

/** The tests' own PostgreSQL: a cluster in its own folder, on a free port of loopback. */
export type Postgres = {
  /** A database in which the user has all permissions, without a separate schema. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly dir: string
  /** Contents of the server's log. */
  output(): string
  /** SIGKILL to the server and all its children, like a power failure. */
  kill9(): Promise<void>
  /** Restarts it on the same data and port, and waits until it responds. */
  start(settings?: readonly string[]): Promise<void>
  /** SIGINT: refuses new connections and closes open ones. */
  stop(): Promise<void>
  /** Kills it and deletes its folder. */
  dispose(): Promise<void>
}

const USER = 'gateway'
const PASSWORD = 'p@ss/word?#%'

/** The non-root user that runs the server, which refuses root. */
export const runAs = (): { uid: number; gid: number } | null => {
  if (process.getuid?.() !== 0) return null
  const users = readFileSync('/etc/passwd', 'utf8').split('\n')
  const line = users.find((user) => /^postgres:/.test(user)) ?? users.find((user) => /^nobody:/.test(user))
  const [, , uid, gid] = (line ?? '').split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

export type PostgresOptions = {
  /** `name=value` of postgresql.conf. */
  settings?: readonly string[]
  /** Location of the folder. Default: a folder in memory. */
  parent?: string
  /** Address of loopback that it listens on. Default: 127.0.0.1. */
  host?: string
}

/** What a server runs on. `parent` is the folder of `dir`. */
type Place = { readonly bin: string; readonly dir: string; readonly data: string; readonly spawning: SpawnOptions }

const createPlace = (parent: string): Place => {
  const bin = postgresBin()
  if (bin === undefined) throw new Error('no PostgreSQL (apt-get install postgresql)')
  const user = runAs()
  const dir = join(parent, 'cluster')
  mkdirSync(dir)
  removeAtExit(dir)
  if (user !== null) for (const path of [parent, dir]) chownSync(path, user.uid, user.gid)
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', PGPASSWORD: PASSWORD }
  return { bin, dir, data: join(dir, 'data'), spawning: { ...user, cwd: dir, env } }
}

const runTool = async ({ bin, spawning }: Place, tool: string, args: readonly string[]): Promise<void> => {
  const child = spawn(join(bin, tool), args, { ...spawning, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr!.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  const [status] = await once(child, 'close')
  if (status !== 0) throw new Error(`${tool}: ${errors}`)
}

/** Creates a cluster and starts it. @throws Error if its programs are missing or it does not start */
export const startPostgres = async (options: PostgresOptions = {}): Promise<Postgres> => {
  const { settings = [], parent = fastDir(), host } = options
  const place = createPlace(parent)
  const passwordFile = join(place.dir, 'password')
  writeFileSync(passwordFile, PASSWORD, { mode: 0o644 })
  const args = ['-D', place.data, '-U', USER, '-E', 'UTF8', '--locale=C.UTF-8', '-A', 'scram-sha-256', '--no-sync']
  await runTool(place, 'initdb', [...args, '--pwfile', passwordFile])
  return serve(place, settings, host)
}

/**
 * Copies a running cluster and starts the copy as a standby that follows it. `pg_promote()` makes it a primary.
 * @param primary where it is reached, now and while the standby follows it
 */
export const startStandby = async (
  primary: Pick<Postgres, 'host' | 'port'>,
  { settings = [], parent = fastDir(), host }: PostgresOptions = {},
): Promise<Postgres> => {
  const place = createPlace(parent)
  const from = ['-h', primary.host, '-p', String(primary.port), '-U', USER]
  await runTool(place, 'pg_basebackup', [...from, '-D', place.data, '--write-recovery-conf', '-c', 'fast', '--no-sync'])
  return serve(place, settings, host)
}

const serve = async (
  { bin, dir, data, spawning }: Place,
  settings: readonly string[],
  host = '127.0.0.1',
): Promise<Postgres> => {
  const logFile = join(dir, 'log')
  const port = await freePort()
  const url = `postgres://${USER}:${encodeURIComponent(PASSWORD)}@${host}:${port}/postgres`

  let child: ChildProcess
  let spare = (): void => undefined
  let ended: Promise<unknown> = Promise.resolve()

  const start = async (more: readonly string[] = []): Promise<void> => {
    const own = [`listen_addresses=${host}`, `unix_socket_directories=${dir}`, 'max_connections=200']
    const small = ['shared_buffers=32MB', 'max_wal_size=256MB', 'max_worker_processes=2']
    const set = [...own, ...small, ...settings, ...more].flatMap((setting) => ['-c', setting])
    const log = openSync(logFile, 'a')
    child = spawn(join(bin, 'postgres'), ['-D', data, '-p', String(port), ...set], {
      ...spawning,
      // Ctrl-C is for this process, which ends its servers in order.
      detached: true,
      stdio: ['ignore', log, log],
    })
    const started = child
    ended = new Promise((resolve) => started.once('exit', resolve))
    if (child.pid !== undefined) spare = killAtExit(child.pid)
    child.unref()
    const answers = async (): Promise<boolean> => {
      if (started.exitCode !== null) throw new Error(`it ended:\n${readFileSync(logFile, 'utf8')}`)
      await queryRows(url, 'SELECT 1')
      return true
    }
    await until(answers, { what: 'an answer of PostgreSQL', everyMs: 50 })
  }

  const hasEnded = async (): Promise<void> => {
    // Otherwise a process without other work exits before the server does.
    child.ref()
    await ended
    spare()
  }

  const kill9 = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const children = listChildren(child.pid!)
    killNow(child.pid!)
    for (const pid of children) killNow(pid)
    await hasEnded()
    // A new server refuses to start while one of them holds the shared memory.
    await until(() => !children.some(isRunning), { what: 'the processes of PostgreSQL have ended' })
  }

  await start()
  return {
    url,
    host,
    port,
    dir,
    output: () => readFileSync(logFile, 'utf8'),
    kill9,
    start,
    async stop() {
      child.kill('SIGINT')
      await hasEnded()
    },
    async dispose() {
      await kill9()
      rmSync(dir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

let shared: Promise<string> | undefined

/** TEST_POSTGRES_URL, or a server of this process, which ends with it. @returns the URL of a database */
export const sharedPostgres = (): Promise<string> => {
  shared ??= process.env.TEST_POSTGRES_URL
    ? Promise.resolve(process.env.TEST_POSTGRES_URL)
    : startPostgres().then(({ url }) => url)
  return shared
}

let databases = 0

/**
 * Creates a database with its own superuser, so that locks and settings of one test file do not affect another.
 * @returns its URL
 */
export const createDatabase = async (url: string): Promise<string> => {
  const name = `test_${process.pid}_${++databases}`
  await queryRows(url, `CREATE ROLE ${name} SUPERUSER LOGIN PASSWORD '${PASSWORD}'`)
  await queryRows(url, `CREATE DATABASE ${name} OWNER ${name}`)
  const own = new URL(url)
  own.username = name
  own.pathname = name
  return own.href
}

let schemas = 0

/** Returns the URL with a new schema. */
export const freshSchema = (url: string): string => {
  const name = `test_${process.pid}_${Date.now().toString(36)}_${++schemas}`
  return `${url}${url.includes('?') ? '&' : '?'}schema=${name}`
}

/** Returns the schema of a URL from `freshSchema`. */
export const extractSchemaName = (url: string): string => /[?&]schema=(\w+)/.exec(url)?.[1] ?? 'deepsoc_gateway'

/** Returns the URL in the form of the driver. */
const bare = (url: string): string => url.replace(/([?&])schema=\w+&?/, '$1').replace(/[?&]$/, '')

/** A connection separate from the gateways', in the schema of the URL. */
export const connect = async (url: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: bare(url), connectionTimeoutMillis: limit(10_000) })
  client.on('error', () => undefined)
  await client.connect()
  await client.query(`SET search_path = "${extractSchemaName(url)}"`)
  return client
}

/** Returns the rows of one query on a separate connection. */
export const queryRows = async <Row>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> => {
  const client = await connect(url)
  try {
    return (await client.query(sql, values)).rows as Row[]
  } finally {
    await client.end()
  }
}

/** Returns the messages in the order of their db_id, all or those of one event. */
export const messagesIn = async (url: string, event_id: string | null = null): Promise<MessageRow[]> => {
  const sql = 'SELECT * FROM message WHERE $1::text IS NULL OR event_id = $1 ORDER BY db_id'
  const rows = await queryRows<MessageRow>(url, sql, [event_id])
  return rows.map((row) => ({ ...row, db_id: Number(row.db_id) }))
}

/** Returns the quarantine, oldest first. */
export const rejectedIn = async (url: string): Promise<RejectedRow[]> => {
  const rows = await queryRows<RejectedRow>(url, 'SELECT * FROM rejected ORDER BY rejected_id')
  const numbers = ['rejected_id', 'received_at', 'body_bytes'] as const
  return rows.map((row) => ({ ...row, ...Object.fromEntries(numbers.map((name) => [name, Number(row[name])])) }))
}
