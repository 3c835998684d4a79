/**
 * What the search index costs, and how fast it is: messages per second into SQLite with and without it, its speed and
 * size, and the time of searches. One process, without HTTP. `npm run bench:search -- MESSAGES`, by default a million.
 */
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageText, type ScheduledMessage, writeScript } from '../src/cli/demo/script.ts'
import { parseSearchTerms } from '../src/core/search-text.ts'
import { createFilter } from '../src/core/subscription-filter.ts'
import { IndexSearch } from '../src/store/search/index-search.ts'
import { SqliteStore } from '../src/store/sqlite/store.ts'
import type { AppendEntry } from '../src/store/store.ts'
import { tempDir } from '../test/support/harness/wait.ts'

/** Messages of the comparison of ingest. */
const INGEST = 100_000
const BATCH = 400
const RUNS = 30
const DAY_MS = 86_400_000

const messages = Number(process.argv[2] ?? 1_000_000)
const dir = tempDir('bench-search-')
const script: readonly ScheduledMessage[] = writeScript({ seed: 1, events: 40, run: 'bench' })

/** An address that occurs in about `messages` / 250,000 messages. */
const toAddress = (n: number): string => `198.51.${(n * 7_919) % 500}.${(n * 104_729) % 500}`

const toHash = (n: number): string => createHash('md5').update(String(n)).digest('hex')

const createEntry = (n: number): AppendEntry => {
  const cue = script[n % script.length]!
  const event_id = `${cue.event_id}-${Math.floor(n / script.length)}`
  const message_id = crypto.randomUUID()
  const received_at = Date.now() - 30 * DAY_MS + Math.floor((n / messages) * 30 * DAY_MS)
  const text = messageText({ ...cue, event_id }, { id: n, message_id, now: received_at })
  const body = `${text.slice(0, -1)},"evidence":"${toAddress(n)} ${toHash(n)}"}`
  const from = cue.step.from
  const message = { event_id, message_id, message_from: from, message_type: cue.step.type, round_id: null, received_at }
  return { kind: 'message', origin: null, message: { ...message, body, lacks: 0, traceparent: null } }
}

let bytes = 0

/** @returns messages per second */
const append = async (store: SqliteStore, from: number, to: number): Promise<number> => {
  let busy = 0
  for (let n = from; n < to; n += BATCH) {
    const entries = Array.from({ length: Math.min(BATCH, to - n) }, (_, index) => createEntry(n + index))
    for (const entry of entries) if (entry.kind === 'message') bytes += Buffer.byteLength(entry.message.body)
    const at = performance.now()
    await store.append(entries)
    busy += performance.now() - at
  }
  return ((to - from) / busy) * 1_000
}

const print = (name: string, value: string): void => void process.stdout.write(`${name.padEnd(46)} ${value}\n`)
const rate = (value: number): string => `${Math.round(value).toLocaleString('en')}/s`

const openStore = async (name: string): Promise<{ store: SqliteStore; databaseFile: string }> => {
  const databaseFile = join(dir, name)
  const store = new SqliteStore({ file: databaseFile, newLogId: name, now: Date.now() })
  await store.start()
  return { store, databaseFile }
}

const QUERIES: Readonly<Record<string, string>> = {
  'an address': toAddress(77),
  'an address that is nowhere': '203.0.113.7',
  'a hash': toHash(4_711),
  'a word of every message': 'timestamp',
  'a word of every second message': 'captain',
  'two words': 'powershell 攻击',
  'a Chinese word of two characters': '登录',
  'two characters of an address': '51',
  'a phrase': '"outbound connection"',
  'a hash that is nowhere': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
}

try {
  const without = await openStore('without.db')
  print('stored without an index', rate(await append(without.store, 0, INGEST)))
  await without.store.stop()

  bytes = 0
  const { store, databaseFile } = await openStore('with.db')
  const search = new IndexSearch({ databaseFile, onFault: (reason) => reason && print('FAULT', reason) })
  const query = (text: string, more: object = {}) =>
    search.search({
      terms: parseSearchTerms(text)!,
      filter: createFilter('*'),
      since: null,
      until: null,
      before: null,
      limit: 50,
      ...more,
    })
  // Starts the thread.
  await query('first')
  print('stored while they are indexed', rate(await append(store, 0, INGEST)))
  await append(store, INGEST, messages)
  const size = Math.max(messages, INGEST)
  print('messages, bytes of a body', `${size.toLocaleString('en')}, ${Math.round(bytes / size)}`)

  const before = search.status?.messages ?? 0
  const at = performance.now()
  const cpu = process.cpuUsage()
  while (search.status?.pending !== 0) await sleep(200)
  const seconds = (performance.now() - at) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  print('CPU time to index a message', `${Math.round((user + system) / (size - before))} µs`)
  print('indexed afterwards, at half a core', rate((size - before) / seconds))
  print('bytes of the index for each message', String(Math.round(search.status!.bytes / size)))

  for (const [name, text] of Object.entries(QUERIES)) {
    const times: number[] = []
    let found = 0
    for (let run = 0; run < RUNS; run++) {
      const from = performance.now()
      found = (await query(text)).hits.length
      times.push(performance.now() - from)
    }
    times.sort((a, b) => a - b)
    const [p50, p99] = [0.5, 0.99].map((part) => times[Math.floor(part * (times.length - 1))]!.toFixed(1))
    print(`search: ${name}`, `p50 ${p50} ms, p99 ${p99} ms, ${found} hits`)
  }
  await search.stop()
  await store.stop()
} finally {
  rmSync(dir, { recursive: true, force: true })
}
