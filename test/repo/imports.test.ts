import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { arrowsOf, findCycle, forbiddenArrows, type Sources, withoutComments } from '../support/repo/import-rules.ts'
import { ROOT } from '../support/servers/gateway.ts'

const MOST_LINES = 300

const SRC = join(ROOT, 'src')

const FILES = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => /\.[a-z]+$/.test(path))

const SOURCES: Sources = Object.fromEntries(
  FILES.filter((path) => path.endsWith('.ts')).map((path) => [
    path.split(sep).join('/'),
    readFileSync(join(SRC, path), 'utf8'),
  ]),
)

const rooms = suite('the rooms of src')

rooms('nobody enters a room that is not open to them', () => {
  assert.ok(Object.keys(SOURCES).length > 30, 'the files were found')
  assert.equal(forbiddenArrows(SOURCES), [])
})

rooms('no files import each other in a circle', () => {
  assert.is(findCycle(SOURCES, 'files'), null)
})

rooms('no rooms know each other in a circle, not even by their types', () => {
  assert.is(findCycle(SOURCES, 'rooms'), null)
})

rooms(`no file is longer than ${MOST_LINES} lines`, () => {
  const long = FILES.filter((path) => readFileSync(join(SRC, path), 'utf8').split('\n').length - 1 > MOST_LINES)
  assert.equal(long, [])
})

const checker = suite('the checker of the rooms')

/** The checker's verdict on one file of this text, beside others that are there to be imported. */
const verdict = (path: string, text: string): string[] => {
  const others = [
    'core/message.ts',
    'store/store.ts',
    'streams/hub.ts',
    'ingest/ingest.ts',
    'http/app.ts',
    'health.ts',
    'config.ts',
    'cli/tail.ts',
    'publisher/outbox-file.ts',
  ]
  return forbiddenArrows({ ...Object.fromEntries(others.map((other) => [other, ''])), [path]: text })
}

checker('sees every form of import', () => {
  const text = `#!/usr/bin/env node
import './side.ts'
import one from 'one'
import * as all from "all"
import two, { type A, b } from '../two.ts'
import {
  type C,
  type D,
} from './types.ts'
import type { E } from 'erased'
import type F from './f.ts'
import type from './named-type.ts'
import { type G, } from './trailing.ts'
export { h } from './re-export.ts'
export * from './star.ts'
export type { I } from './type-export.ts'
const late = await import('./late.ts')
const thread = new Worker(new URL('./thread.ts', import.meta.url))
const page = new URL('./page.html', import.meta.url)
export const from = 'nowhere'
`
  assert.equal(
    arrowsOf('room/x.ts', text).map(({ to, kind }) => `${kind} ${to}`),
    [
      'value room/side.ts',
      'value one',
      'value all',
      'value two.ts',
      'type room/types.ts',
      'type erased',
      'type room/f.ts',
      'value room/named-type.ts',
      'type room/trailing.ts',
      'value room/re-export.ts',
      'value room/star.ts',
      'type room/type-export.ts',
      'dynamic room/late.ts',
      'worker room/thread.ts',
    ],
  )
})

checker('does not take comments for code, nor strings for comments', () => {
  const text = `// import a from 'a'
/* import b from 'b'
import c from 'c' */
const url = 'http://x' // process.env
import d from 'd'
const s = "/* no comment"
import e from 'e'
`
  assert.equal(
    arrowsOf('x.ts', text).map(({ to }) => to),
    ['d', 'e'],
  )
  assert.not.match(withoutComments(text), 'process.env')
})

checker('finds every forbidden arrow', () => {
  const forbidden: [string, string][] = [
    ['message/x.ts', "import fs from 'node:fs'"],
    ['message/x.ts', "import type { Log } from '../log/log.ts'"],
    ['message/x.ts', "import { z } from 'zod/v4'"],
    ['log/x.ts', "import type { Live } from '../live/live.ts'"],
    ['log/x.ts', "import { Health } from '../health.ts'"],
    ['ingest/x.ts', "import { SqliteLog } from '../log/log.ts'"],
    ['ingest/x.ts', "import { type Log, other } from '../log/log.ts'"],
    ['ingest/x.ts', "import type { Live } from '../live/live.ts'"],
    ['ingest/x.ts', "import type { App } from '../http/app.ts'"],
    ['ingest/x.ts', "const { Log } = await import('../log/log.ts')"],
    ['ingest/x.ts', "import type { Config } from '../config.ts'"],
    ['live/x.ts', "import type { Ingest } from '../ingest/ingest.ts'"],
    ['live/x.ts', "export { app } from '../http/app.ts'"],
    ['live/x.ts', "import '../log/log.ts'"],
    ['http/x.ts', "import { Log } from '../log/log.ts'"],
    ['http/x.ts', "import type { Ingest } from '../ingest/ingest.ts'"],
    ['http/x.ts', "import { Health } from '../health.ts'"],
    ['publisher/x.ts', "import type { M } from '../message/message.ts'"],
    ['commands/x.ts', "import type { Live } from '../live/live.ts'"],
    ['commands/demo/x.ts', "const { Ingest } = await import('../../ingest/ingest.ts')"],
    ['commands/x.ts', "import Database from 'better-sqlite3'"],
    ['commands/x.ts', "import { Connection } from 'rabbitmq-client'"],
    ['commands/x.ts', 'process.exit(1)'],
    ['http/x.ts', "import { tail } from '../commands/tail.ts'"],
    ['live/x.ts', "import { createParser } from 'eventsource-parser'"],
    ['publisher/x.ts', "import { loadConfig } from '../config.ts'"],
    ['publisher/x.ts', "import Database from 'better-sqlite3'"],
    ['publisher/x.ts', 'const home = process.env.HOME'],
    ['log/x.ts', "import { gone } from './gone.ts'"],
    ['live/x.ts', "import { Connection } from 'rabbitmq-client'"],
    ['gateway.ts', "import type { Connection } from 'rabbitmq-client'"],
    ['http/x.ts', "import Database from 'better-sqlite3'"],
    ['serve.ts', "import { sql } from 'kysely'"],
    ['gateway.ts', "import type { Client } from 'pg'"],
    ['store/sqlite/store.ts', "import pg from 'pg'"],
    ['gateway.ts', "import Koa from 'koa'"],
    ['serve.ts', "import Router from '@koa/router'"],
    ['http/x.ts', "import { jwtVerify } from 'jose'"],
    ['http/x.ts', "import { jwtVerify } from 'jose/jwt/verify'"],
    ['gateway.ts', "import pino, { type Logger } from 'pino'"],
    ['http/x.ts', "import { Registry } from 'prom-client'"],
    ['gateway.ts', 'const home = process.env.HOME'],
    ['gateway.ts', 'const { env } = process'],
    ['gateway.ts', "import { env } from 'node:process'"],
    ['gateway.ts', 'process.exit(1)'],
  ]
  for (const [path, text] of forbidden) assert.is(verdict(path, text).length, 1, `${path}: ${text}`)
})

checker('lets pass what is allowed', () => {
  const allowed: [string, string][] = [
    ['message/x.ts', "import { z } from 'zod'\nimport { isUtf8 } from 'node:buffer'\nimport { m } from './message.ts'"],
    ['log/x.ts', "import Database from 'better-sqlite3'\nimport { sql } from 'kysely'\nimport { l } from './log.ts'"],
    ['log/postgres-x.ts', "import type { Client } from 'pg'\nconst pg = await import('pg')"],
    ['ingest/x.ts', "import type { Log } from '../log/log.ts'\nimport { type H } from '../health.ts'"],
    ['ingest/x.ts', "import { Connection } from 'rabbitmq-client'\nimport { m } from '../message/message.ts'"],
    ['live/x.ts', "import type { Log } from '../log/log.ts'\nimport { m } from '../message/message.ts'"],
    ['http/x.ts', "import Koa from 'koa'\nimport { Live } from '../live/live.ts'\nimport type { Logger } from 'pino'"],
    ['http/auth/authorize.ts', "import { jwtVerify } from 'jose'"],
    ['telemetry/logger.ts', "import pino from 'pino'\nimport { Registry } from 'prom-client'"],
    ['gateway.ts', "import { l } from './log/log.ts'\nimport { a } from './http/app.ts'\n// process.env, process.exit"],
    ['environment.ts', 'export const env = process.env'],
    ['publisher/settings.ts', 'export const env = process.env'],
    ['publisher/outbox-file.ts', "import Database from 'better-sqlite3'"],
    ['publisher/x.ts', "import { Connection } from 'rabbitmq-client'\nimport { o } from './outbox-file.ts'"],
    ['commands/x.ts', "import { createParser } from 'eventsource-parser'\nimport { c } from '../config.ts'"],
    ['commands/rejected/x.ts', "import { l } from '../../log/log.ts'\nimport { m } from '../../message/message.ts'"],
    ['cli.ts', 'process.exit(2)\nprocess.exitCode = 1'],
  ]
  for (const [path, text] of allowed) assert.equal(verdict(path, text), [], `${path}: ${text}`)
})

checker('finds cycles of files at run time, and of rooms by any import', () => {
  const files = { 'log/a.ts': "import { b } from './b.ts'", 'log/b.ts': "const a = await import('./c.ts')" }
  const closing = { ...files, 'log/c.ts': "const t = new Worker(new URL('./a.ts', import.meta.url))" }
  assert.is(findCycle({ ...files, 'log/c.ts': '' }, 'files'), null)
  assert.is(findCycle(closing, 'files'), 'log/a.ts → log/b.ts → log/c.ts → log/a.ts')
  assert.is(findCycle(closing, 'rooms'), null)
  const self = { 'x.ts': "import { x } from './x.ts'" }
  assert.is(findCycle(self, 'files'), 'x.ts → x.ts')
  const types = {
    'log/a.ts': "import type { L } from '../live/b.ts'",
    'live/b.ts': "import type { A } from '../log/a.ts'",
  }
  assert.is(findCycle(types, 'files'), null)
  assert.is(findCycle(types, 'rooms'), 'log/ → live/ → log/')
})

rooms.run()
checker.run()
