// unit
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import {
  ambiguousNames,
  findCycle,
  forbiddenArrows,
  parseImports,
  type Sources,
  withoutComments,
} from '../support/repo/import-rules.ts'
import { ROOT } from '../support/servers/gateway.ts'

const MAX_LINES = 300
const MAX_FILES = 20

const SRC = join(ROOT, 'src')

const FILES = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => /\.[a-z]+$/.test(path))

const SOURCES: Sources = Object.fromEntries(
  FILES.filter((path) => path.endsWith('.ts')).map((path) => [
    path.split(sep).join('/'),
    readFileSync(join(SRC, path), 'utf8'),
  ]),
)

const layout = suite('the layout of src')

layout('no file has an import that its folder forbids', () => {
  assert.ok(Object.keys(SOURCES).length > 30, 'the files were found')
  assert.equal(forbiddenArrows(SOURCES), [])
})

layout('no import cycles between files, not even of types', () => {
  assert.is(findCycle(SOURCES, 'files'), null)
})

layout('no import cycles between folders, not even of types', () => {
  assert.is(findCycle(SOURCES, 'folders'), null)
})

layout('an exported name has one meaning', () => {
  assert.equal(ambiguousNames(SOURCES), [])
})

layout('only the two entry points are outside folders', () => {
  assert.equal(FILES.filter((path) => !path.includes(sep)).sort(), ['cli.ts', 'index.ts'])
})

layout(`no folder has more than ${MAX_FILES} files`, () => {
  const counts = new Map<string, number>()
  for (const path of FILES) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1)
  assert.equal(
    [...counts].filter(([, count]) => count > MAX_FILES),
    [],
  )
})

layout(`no file is longer than ${MAX_LINES} lines`, () => {
  const long = FILES.filter((path) => readFileSync(join(SRC, path), 'utf8').split('\n').length - 1 > MAX_LINES)
  assert.equal(long, [])
})

const checker = suite('the checker of the layout')

/** Returns the checker's result for a file with this text, next to files that it can import. */
const verdict = (path: string, text: string): string[] => {
  const others = [
    'core/message.ts',
    'store/store.ts',
    'streams/hub.ts',
    'ingest/ingest.ts',
    'http/app.ts',
    'monitoring/health.ts',
    'config/config.ts',
    'cli/tail.ts',
    'publisher/outbox-file.ts',
  ]
  return forbiddenArrows({ ...Object.fromEntries(others.map((other) => [other, ''])), [path]: text })
}

checker('finds every form of import', () => {
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
    parseImports('room/x.ts', text).map(({ to, kind }) => `${kind} ${to}`),
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
    parseImports('x.ts', text).map(({ to }) => to),
    ['d', 'e'],
  )
  assert.not.match(withoutComments(text), 'process.env')
})

checker('finds every forbidden import', () => {
  const forbidden: [string, string][] = [
    ['core/x.ts', "import fs from 'node:fs'"],
    ['core/x.ts', "import type { Store } from '../store/store.ts'"],
    ['core/x.ts', "import { z } from 'zod/v4'"],
    ['store/x.ts', "import type { Hub } from '../streams/hub.ts'"],
    ['store/x.ts', "import { Health } from '../monitoring/health.ts'"],
    ['ingest/x.ts', "import { Store } from '../store/store.ts'"],
    ['ingest/x.ts', "import { type Store, other } from '../store/store.ts'"],
    ['ingest/x.ts', "import type { Hub } from '../streams/hub.ts'"],
    ['ingest/x.ts', "import type { App } from '../http/app.ts'"],
    ['ingest/x.ts', "const { Store } = await import('../store/store.ts')"],
    ['ingest/x.ts', "import type { Config } from '../config/config.ts'"],
    ['streams/x.ts', "import type { Ingest } from '../ingest/ingest.ts'"],
    ['streams/x.ts', "export { app } from '../http/app.ts'"],
    ['streams/x.ts', "import '../store/store.ts'"],
    ['http/x.ts', "import { Store } from '../store/store.ts'"],
    ['http/routes/x.ts', "import { Store } from '../../store/store.ts'"],
    ['http/x.ts', "import type { Ingest } from '../ingest/ingest.ts'"],
    ['amqp/x.ts', "import type { Health } from '../monitoring/health.ts'"],
    ['publisher/x.ts', "import type { Store } from '../store/store.ts'"],
    ['cli/x.ts', "import type { Hub } from '../streams/hub.ts'"],
    ['cli/demo/x.ts', "const { Ingest } = await import('../../ingest/ingest.ts')"],
    ['cli/x.ts', "import Database from 'better-sqlite3'"],
    ['cli/x.ts', "import { Connection } from 'rabbitmq-client'"],
    ['cli/x.ts', 'process.exit(1)'],
    ['http/x.ts', "import { tail } from '../cli/tail.ts'"],
    ['web/page/x.ts', "import { Health } from '../../monitoring/health.ts'"],
    ['streams/x.ts', "import { createParser } from 'eventsource-parser'"],
    ['publisher/x.ts', "import { loadConfig } from '../config/config.ts'"],
    ['publisher/x.ts', "import Database from 'better-sqlite3'"],
    ['publisher/x.ts', 'const home = process.env.HOME'],
    ['publisher/x.ts', "import { Connection } from 'rabbitmq-client'"],
    ['publisher/x.ts', 'channel._state.maxFrameSize'],
    ['ingest/x.ts', "const { decodeFrame } = require('rabbitmq-client/lib/codec.js')"],
    ['store/x.ts', "import { gone } from './gone.ts'"],
    ['streams/x.ts', "import { Connection } from 'rabbitmq-client'"],
    ['http/x.ts', "import Database from 'better-sqlite3'"],
    ['app/serve.ts', "import { sql } from 'kysely'"],
    ['app/gateway.ts', "import type { Client } from 'pg'"],
    ['store/sqlite/store.ts', "import pg from 'pg'"],
    ['app/gateway.ts', "import Koa from 'koa'"],
    ['app/serve.ts', "import Router from '@koa/router'"],
    ['http/x.ts', "import { jwtVerify } from 'jose'"],
    ['http/x.ts', "import { jwtVerify } from 'jose/jwt/verify'"],
    ['app/gateway.ts', "import pino, { type Logger } from 'pino'"],
    ['http/x.ts', "import { Registry } from 'prom-client'"],
    ['app/gateway.ts', 'const home = process.env.HOME'],
    ['app/gateway.ts', 'const { env } = process'],
    ['app/gateway.ts', "import { env } from 'node:process'"],
    ['app/gateway.ts', 'process.exit(1)'],
  ]
  for (const [path, text] of forbidden) assert.is(verdict(path, text).length, 1, `${path}: ${text}`)
})

checker('accepts allowed imports', () => {
  const allowed: [string, string][] = [
    ['core/x.ts', "import { z } from 'zod'\nimport { isUtf8 } from 'node:buffer'\nimport { m } from './message.ts'"],
    [
      'store/x.ts',
      "import Database from 'better-sqlite3'\nimport { sql } from 'kysely'\nimport { l } from './store.ts'",
    ],
    ['store/postgres/x.ts', "import type { Client } from 'pg'\nconst pg = await import('pg')"],
    ['ingest/x.ts', "import type { Store } from '../store/store.ts'\nimport { type H } from '../monitoring/health.ts'"],
    ['ingest/x.ts', "import type { Channel } from 'rabbitmq-client'\nimport { m } from '../core/message.ts'"],
    ['amqp/x.ts', "import { Connection } from 'rabbitmq-client'\nimport { m } from '../core/message.ts'"],
    ['amqp/rabbitmq-client-patch.ts', "import codec from 'rabbitmq-client/lib/codec.js'\nchannel._state.id"],
    ['streams/x.ts', "import type { Store } from '../store/store.ts'\nimport { m } from '../core/message.ts'"],
    ['http/x.ts', "import Koa from 'koa'\nimport { Hub } from '../streams/hub.ts'\nimport type { Logger } from 'pino'"],
    ['http/auth/x.ts', "import { jwtVerify } from 'jose'"],
    ['telemetry/logger.ts', "import pino from 'pino'\nimport { Registry } from 'prom-client'"],
    ['app/gateway.ts', "import { l } from '../store/store.ts'\nimport { a } from '../http/app.ts'\n// process.env"],
    ['platform/env.ts', 'export const env = process.env'],
    ['publisher/settings.ts', 'export const env = process.env'],
    ['publisher/outbox-file.ts', "import Database from 'better-sqlite3'"],
    ['web/page/x.ts', "import type { H } from '../../monitoring/health.ts'"],
    ['cli/x.ts', "import { createParser } from 'eventsource-parser'\nimport { c } from '../config/config.ts'"],
    ['cli/rejected/x.ts', "import { l } from '../../store/store.ts'\nimport { m } from '../../core/message.ts'"],
    ['cli.ts', 'process.exit(2)\nprocess.exitCode = 1'],
  ]
  for (const [path, text] of allowed) assert.equal(verdict(path, text), [], `${path}: ${text}`)
})

checker('finds cycles of files and of folders, by any import', () => {
  const files = { 'store/a.ts': "import { b } from './b.ts'", 'store/b.ts': "const a = await import('./c.ts')" }
  const closing = { ...files, 'store/c.ts': "const t = new Worker(new URL('./a.ts', import.meta.url))" }
  assert.is(findCycle({ ...files, 'store/c.ts': '' }, 'files'), null)
  assert.is(findCycle(closing, 'files'), 'store/a.ts → store/b.ts → store/c.ts → store/a.ts')
  assert.is(findCycle(closing, 'folders'), null)
  const self = { 'x.ts': "import { x } from './x.ts'" }
  assert.is(findCycle(self, 'files'), 'x.ts → x.ts')
  const types = {
    'store/a.ts': "import type { H } from '../streams/b.ts'",
    'streams/b.ts': "import type { A } from '../store/c.ts'",
    'store/c.ts': '',
  }
  assert.is(findCycle(types, 'files'), null)
  assert.is(findCycle(types, 'folders'), 'store/ → streams/ → store/')
  const pair = { 'store/a.ts': "import type { B } from './b.ts'", 'store/b.ts': "import type { A } from './a.ts'" }
  assert.is(findCycle(pair, 'files'), 'store/a.ts → store/b.ts → store/a.ts')
})

checker('finds names that several files export, but for the two stores', () => {
  const text = 'export const one = 1\n// export const two = 2\nexport interface Three {}'
  assert.equal(ambiguousNames({ 'core/a.ts': text, 'http/b.ts': 'export type one = 1\nexport const two = 2' }), [
    'one: core/a.ts, http/b.ts',
  ])
  assert.equal(ambiguousNames({ 'store/sqlite/queries.ts': text, 'store/postgres/queries.ts': text }), [])
  assert.equal(ambiguousNames({ 'store/sqlite/queries.ts': text, 'store/postgres/reader.ts': text }).length, 2)
})

layout.run()
checker.run()
