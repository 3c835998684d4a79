import fc from 'fast-check'
import * as assert from 'uvu/assert'
import {
  type Bounds,
  Cursor,
  type CursorRequest,
  parseCursor,
  parseDbId,
  resolveCursor,
} from '../../../src/core/cursor.ts'
import { suite } from '../../support/harness/suite.ts'

const GREATEST = Number.MAX_SAFE_INTEGER

const after = (db_id: number, resumed: boolean): CursorRequest => ({ kind: 'after', db_id, resumed })

/** An event with messages 5…20 of a store that has reached 30; 4 is its greatest deleted message. */
const BOUNDS: Bounds = { first_db_id: 5, last_db_id: 20, pruned_db_id: 4, head_db_id: 30 }

const cursors = suite('cursors')

cursors('a db_id is a whole number from 0 up to 2^53-1, written in digits', () => {
  for (const [text, id] of [
    ['0', 0],
    ['7', 7],
    ['007', 7],
    ['9007199254740991', GREATEST],
  ] as const) {
    assert.is(parseDbId(text), id)
  }
  const bad = ['', ' ', '-1', '+1', '1.0', '1e3', '0x10', '1 ', ' 1', '1\n', '٣', 'NaN', 'null', 'latest']
  for (const text of [...bad, '9007199254740992', '9999999999999999', '00000000000000001', '1'.repeat(400)]) {
    assert.is(parseDbId(text), null, JSON.stringify(text))
  }
})

cursors('every safe integer is understood as it is written', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: GREATEST }), (id) => parseDbId(String(id)) === id))
})

cursors('the header takes precedence over the query, the query over the beginning', () => {
  const table: [string | undefined, string | undefined, CursorRequest | null][] = [
    [undefined, undefined, after(0, false)],
    ['', undefined, after(0, false)],
    [undefined, '7', after(7, true)],
    ['', '7', after(7, true)],
    [undefined, '0', after(0, false)],
    ['9', undefined, after(9, true)],
    ['9', '7', after(9, true)],
    ['9', 'latest', after(9, true)],
    ['0', '7', after(0, true)],
    [undefined, 'latest', { kind: 'latest' }],
    ['', 'latest', { kind: 'latest' }],
    ['rubbish', '7', { kind: 'invalid' }],
    ['9007199254740992', undefined, { kind: 'invalid' }],
    ['latest', undefined, { kind: 'invalid' }],
  ]
  for (const [header, query, expected] of table) {
    const parsed = query === undefined ? undefined : Cursor.parse(query)
    assert.equal(parseCursor(header, parsed), expected, `${header} ${query}`)
  }
})

cursors('a malformed query is the programmer’s mistake', () => {
  for (const query of ['', '-1', 'x', '1.5', 'Latest', '9007199254740992']) {
    const { success, error } = Cursor.safeParse(query)
    assert.is(success, false, query)
    assert.is(error!.issues[0]!.message, 'must be a whole number from 0 up, or latest')
  }
})

cursors('a valid cursor is accepted', () => {
  const table: [CursorRequest, number][] = [
    [after(0, false), 0],
    [after(4, true), 4],
    [after(5, true), 5],
    [after(20, true), 20],
    [after(30, true), 30],
  ]
  for (const [request, cursor] of table) assert.equal(resolveCursor(request, BOUNDS), { cursor, reset: null })
})

cursors('a cursor above every id that was ever assigned restarts', () => {
  assert.equal(resolveCursor(after(31, true), BOUNDS), { cursor: 0, reset: 'cursor_ahead' })
  assert.equal(resolveCursor(after(GREATEST, true), BOUNDS), { cursor: 0, reset: 'cursor_ahead' })
  const empty = { first_db_id: 0, last_db_id: 0, pruned_db_id: 0, head_db_id: 0 }
  assert.equal(resolveCursor(after(1, true), empty), { cursor: 0, reset: 'cursor_ahead' })
})

cursors('later messages of another event do not make a cursor invalid', () => {
  assert.equal(resolveCursor(after(25, true), BOUNDS), { cursor: 25, reset: null })
})

cursors('a cursor before messages deleted by retention restarts, unless it is the beginning anyway', () => {
  assert.equal(resolveCursor(after(3, true), BOUNDS), { cursor: 0, reset: 'history_pruned' })
  assert.equal(resolveCursor(after(0, true), BOUNDS), { cursor: 0, reset: 'history_pruned' }, 'hello gave it as id')
  assert.equal(resolveCursor(after(0, false), BOUNDS), { cursor: 0, reset: null })
})

cursors('a cursor that is not a number restarts', () => {
  assert.equal(resolveCursor({ kind: 'invalid' }, BOUNDS), { cursor: 0, reset: 'cursor_invalid' })
})

cursors('latest starts after all messages, including deleted ones', () => {
  assert.equal(resolveCursor({ kind: 'latest' }, BOUNDS), { cursor: 20, reset: null })
  const emptied = { first_db_id: 0, last_db_id: 0, pruned_db_id: 20, head_db_id: 30 }
  const start = resolveCursor({ kind: 'latest' }, emptied)
  assert.equal(start, { cursor: 20, reset: null })
  assert.equal(resolveCursor(after(start.cursor, true), emptied), start, 'and its reconnection is honoured')
})

cursors('no message after an accepted cursor is missing from the store, for any bounds', () => {
  const id = fc.integer({ min: 0, max: 50 })
  fc.assert(
    fc.property(fc.array(id, { minLength: 4, maxLength: 4 }), id, fc.boolean(), (ids, db_id, resumed) => {
      const [pruned_db_id, first_db_id, last_db_id, head_db_id] = ids.sort((a, b) => a - b) as never as number[]
      const bounds = { pruned_db_id, first_db_id, last_db_id, head_db_id } as Bounds
      const { cursor, reset } = resolveCursor(after(db_id, resumed), bounds)
      assert.is(cursor, reset === null ? db_id : 0)
      const lost = db_id < bounds.pruned_db_id || db_id > bounds.head_db_id
      if (resumed) assert.is(reset !== null, lost)
    }),
  )
})

cursors.run()
