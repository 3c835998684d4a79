// needs: postgres
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import { DamageLatch } from '../../../src/store/damage-latch.ts'
import { suite } from '../../support/harness/suite.ts'
import { until } from '../../support/harness/wait.ts'
import { freshSchema, type Postgres, queryRows, startPostgres } from '../../support/servers/postgres.ts'
import { newEntry } from '../../support/stages/entries.ts'
import { openPostgres } from '../../support/store/postgres-store.ts'

const PAGE = { messages: 500, bytes: Number.POSITIVE_INFINITY }
const EVERYTHING = createFilter('*')
const COUNT = 60
/** PostgreSQL's page size. */
const BLOCK = 8_192

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: GatewayError) => error.code,
  )

const test = suite('a damaged database in PostgreSQL')

let server: Postgres

test.before(async () => {
  server = await startPostgres()
})

test.after(async () => {
  await server?.dispose()
})

/** Overwrites the second block of a relation while the server is stopped. @returns a function that writes it back */
const damageRelation = async (url: string, relation: string): Promise<() => Promise<void>> => {
  const [row] = await queryRows<{ path: string }>(url, 'SELECT pg_relation_filepath($1::regclass) AS path', [relation])
  const file = join(server.dir, 'data', row!.path)
  const overwrite = async (content: Uint8Array): Promise<void> => {
    await server.stop()
    const fd = openSync(file, 'r+')
    writeSync(fd, content, 0, BLOCK, BLOCK)
    closeSync(fd)
    await server.start()
  }
  await queryRows(url, 'CHECKPOINT')
  const before = Buffer.from(readFileSync(file).subarray(BLOCK, 2 * BLOCK))
  assert.is(before.length, BLOCK, `${relation} has two blocks`)
  await overwrite(Buffer.alloc(BLOCK, 0xee))
  return () => overwrite(before)
}

for (const [what, relation] of [
  ['the table', 'message'],
  ['an index that only writes need', 'message_message_id_event_id_key'],
] as const) {
  test(`damage of ${what} is reported until what has failed succeeds`, async () => {
    const url = freshSchema(server.url)
    let now = 0
    const latch = new DamageLatch(() => now)
    const log = await openPostgres(url, { damage: latch })
    try {
      const body = (n: number): string => JSON.stringify({ n, text: 'x'.repeat(700) })
      for (let n = 0; n < COUNT; n++) {
        await log.append([newEntry({ message_id: `m${String(n).padStart(200, '0')}`, body: body(n) })])
      }
      const ofFirstBlock = 'SELECT max(db_id) AS last FROM message WHERE (ctid::text::point)[0] = 0'
      const last = Number((await queryRows<{ last: string }>(url, ofFirstBlock))[0]!.last)
      const repair = await damageRelation(url, relation)
      const read = (after: number) => log.read(EVERYTHING, after, PAGE)
      // The connections of before the restart are gone.
      await until(async () => (await codeOf(log.head())) === 'none')
      // Its id is the smallest, so its place is in the first leaf of the index, which is the second block.
      const append = (): Promise<string> => codeOf(log.append([newEntry({ message_id: 'a', body: body(COUNT) })]))
      if (relation === 'message') {
        let cursor = 0
        let code = 'none'
        for (let pages = 0; code === 'none' && pages < COUNT; pages++) {
          code = await read(cursor).then(
            ({ readThrough }) => {
              cursor = readThrough
              return 'none'
            },
            (error: GatewayError) => error.code,
          )
        }
        assert.is(code, 'database_corrupt')
        assert.is(cursor, last, 'the rows of the first block are read')
      } else {
        assert.is((await read(0)).messages.length, COUNT, 'reads need no such index')
        await until(async () => (await append()) === 'database_corrupt', { what: 'damage found by a write' })
      }
      assert.match(latch.error!.hint, 'PostgreSQL')
      const check = async (): Promise<string> => {
        now += 6_000
        const code = await codeOf(log.check(true))
        await new Promise((resolve) => setTimeout(resolve, 20))
        return code
      }
      for (let n = 0; n < 10; n++) assert.is(await check(), 'database_corrupt')
      assert.is(await append(), 'database_corrupt')
      await repair()
      await until(async () => (await check()) === 'none', { what: 'a check that passes' })
      assert.is((await read(0)).messages.length, COUNT, 'a check stores nothing')
      assert.is(await append(), 'none')
    } finally {
      await log.stop()
    }
  })
}

test.run()
