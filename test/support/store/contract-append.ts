import * as assert from 'uvu/assert'
import type { GatewayError } from '../../../src/core/errors.ts'
import { createFilter } from '../../../src/core/subscription-filter.ts'
import type { AppendEntry, DeliveryOrigin, MessageStore } from '../../../src/store/store.ts'
import { newEntry, newMessage, newOrigin, newRejection, store } from '../stages/entries.ts'
import type { LogTest } from './sqlite-store.ts'

const ALL = { messages: 10_000, bytes: Number.POSITIVE_INFINITY }
const ORIGIN = newOrigin({ routing_key: 'a.b.c' })

/** Returns the stored messages as `message_id: body`, in the order of the store. */
export const contents = async (log: MessageStore): Promise<string[]> => {
  const { messages } = await log.read(createFilter('*'), 0, ALL)
  return messages.map(({ message_id, body }) => `${message_id}: ${body}`)
}

const catchErrorCode = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'none'
  } catch (error) {
    return (error as GatewayError).code
  }
}

/** L1, L3, L5, and the outcome of each entry. */
export const checkAppending = (test: LogTest): void => {
  test('assigns ids from 1 in the order of the entries, and keeps every field', async (log) => {
    const full = newMessage({
      message_from: 'f',
      message_type: 't',
      round_id: 7,
      received_at: 12,
      lacks: 3,
      body: '{ }',
    })
    const outcomes = await log.append([{ kind: 'message', message: full, origin: null }, newEntry(), newEntry()])
    const ids = outcomes.map(({ db_id }) => db_id)
    assert.equal(new Set(outcomes.map((outcome) => outcome.kind)), new Set(['stored']))
    assert.ok(ids[0]! > 0 && ids[0]! < ids[1]! && ids[1]! < ids[2]!, String(ids))
    const { round_id: _unread, ...delivered } = full
    assert.equal((await log.read(createFilter('*'), 0, ALL)).messages[0], { ...delivered, db_id: ids[0] })
  })

  test('keeps any text as it is', async (log) => {
    const body = '{"n":12302548181076029,"s":"\\u0000\u2028𝒳\r\n","x":1.10 }'
    await store(log, { event_id: '事件 ".*\u2028', message_id: '𝒳\n', body })
    const { messages } = await log.read(createFilter(['事件 ".*\u2028']), 0, ALL)
    assert.equal(
      messages.map((one) => [one.message_id, one.body]),
      [['𝒳\n', body]],
    )
  })

  test('is durable and visible to others once it resolves (L1)', async (log, itsStore) => {
    const other = await itsStore.open()
    for (let n = 0; n < 20; n++) {
      const [id] = await store(log, {})
      assert.is(await other.head(), id)
      assert.is((await other.read(createFilter('*'), id! - 1, ALL)).messages.length, 1)
    }
  })

  test('an empty batch is no commit', async (log) => {
    assert.equal(await log.append([]), [])
    assert.is(await log.head(), 0)
  })

  test('the same message again is a duplicate of the first (L3)', async (log, itsStore) => {
    const message = { event_id: 'e', message_id: 'm', body: '{"a":1}' }
    const [id] = await store(log, message)
    for (const origin of [null, ORIGIN]) {
      assert.equal(await log.append([newEntry({ ...message, received_at: 9_999 }, origin)]), [
        { kind: 'duplicate', db_id: id },
      ])
    }
    const within = await log.append([
      newEntry({ ...message, message_id: 'n' }),
      newEntry({ ...message, message_id: 'n' }),
    ])
    assert.equal(
      [within[0]!.kind, within[1]!.kind, within[0]!.db_id === within[1]!.db_id],
      ['stored', 'duplicate', true],
    )
    assert.equal(await contents(log), ['m: {"a":1}', 'n: {"a":1}'])
    assert.equal(await itsStore.rejected(), [])
    assert.is((await log.events(10, 0))[0]!.messages, 2, 'duplicates are not counted')
  })

  test('a message_id is an event’s own (L3)', async (log) => {
    const outcomes = await log.append([
      newEntry({ event_id: 'a', message_id: 'm', body: '{"a":1}' }),
      newEntry({ event_id: 'b', message_id: 'm', body: '{"b":1}' }),
      newEntry({ event_id: 'A', message_id: 'm' }),
    ])
    assert.equal(
      outcomes.map((outcome) => outcome.kind),
      ['stored', 'stored', 'stored'],
    )
  })

  test('another body under a known message_id is a conflict: the first is kept, the other is quarantined', async (log, itsStore) => {
    const [id] = await store(log, { event_id: 'e', message_id: 'm', body: '{"a":1}' })
    const conflicting = newEntry({ event_id: 'e', message_id: 'm', body: '{"a":"ä"}', received_at: 77 }, ORIGIN)
    assert.equal(await log.append([conflicting]), [{ kind: 'conflict', db_id: id }])
    assert.equal(await contents(log), ['m: {"a":1}'])
    const [row, ...more] = await itsStore.rejected()
    assert.equal(more, [])
    assert.equal([row!.reason, row!.routing_key, row!.body.toString()], ['message_conflict', 'a.b.c', '{"a":"ä"}'])
    assert.is(row!.body_bytes, 10, 'counted in bytes')
    assert.match(row!.sha256, /^[0-9a-f]{64}$/)
    assert.match(row!.detail, String(id))
  })

  test('a conflict without an origin is only returned, since its sender gets the response', async (log, itsStore) => {
    const [id] = await store(log, { message_id: 'm', body: '{"a":1}' })
    assert.equal(await log.append([newEntry({ message_id: 'm', body: '{"a":2}' })]), [{ kind: 'conflict', db_id: id }])
    assert.equal(await itsStore.rejected(), [])
  })

  test('a rejected message is kept completely', async (log, itsStore) => {
    const bytes = Buffer.from([0xff, 0, 0x7b])
    const entry = newRejection('', { body: bytes, body_bytes: 5_000_000, sha256: 'f'.repeat(64), origin: ORIGIN })
    assert.equal(await log.append([entry]), [{ kind: 'rejected', db_id: 0 }])
    const [row] = await itsStore.rejected()
    assert.equal([row!.reason, row!.detail, row!.routing_key], ['invalid_json', 'no JSON', 'a.b.c'])
    assert.ok(row!.body.equals(bytes))
    assert.equal([row!.body_bytes, row!.sha256], [5_000_000, 'f'.repeat(64)])
  })

  test('a rejection that can have a copy is not stored twice, a new one of the same body is', async (log, itsStore) => {
    const again = { origin: newOrigin({ exclusive_until: 0 }) }
    await log.append([newRejection('x', again)])
    assert.is((await itsStore.rejected()).length, 1, 'redelivered, yet not known: a crash came before its commit')
    await log.append([newRejection('x', again), newRejection('x', again)])
    assert.is((await itsStore.rejected()).length, 1)
    await log.append([newRejection('x', { origin: newOrigin({ exclusive_until: Date.now() - 1 }) })])
    assert.is((await itsStore.rejected()).length, 1, 'it took too long to get here')
    await log.append([newRejection('x')])
    assert.is((await itsStore.rejected()).length, 2)
    await log.append([newRejection('y', again), newRejection('x', { ...again, reason: 'not_an_object' })])
    await log.append([newRejection('x', { origin: newOrigin({ exclusive_until: 0, routing_key: 'other' }) })])
    assert.is((await itsStore.rejected()).length, 5, 'another body, reason or key is another rejection')
  })

  test('a conflict that can have a copy is not stored twice', async (log, itsStore) => {
    await store(log, { message_id: 'm', body: '{"a":1}' })
    const conflict = (origin: Partial<DeliveryOrigin>): AppendEntry =>
      newEntry({ message_id: 'm', body: '{}' }, newOrigin(origin))
    await log.append([conflict({})])
    await log.append([conflict({ exclusive_until: 0 })])
    assert.is((await itsStore.rejected()).length, 1)
  })

  test('a message that the store cannot hold does not harm its neighbours', async (log, itsStore) => {
    const odd = { message_id: 'odd', round_id: 'three' as never }
    const outcomes = await log.append([
      newEntry({ message_id: 'a' }),
      newEntry(odd, ORIGIN),
      newEntry(odd),
      newEntry({ message_id: 'b' }),
    ])
    assert.equal(
      outcomes.map((outcome) => outcome.kind),
      ['stored', 'refused', 'refused', 'stored'],
    )
    assert.equal(
      (await contents(log)).map((line) => line.split(':')[0]),
      ['a', 'b'],
    )
    assert.equal(
      (await itsStore.rejected()).map((row) => row.reason),
      ['message_unstorable'],
      'quarantined where it has an origin',
    )
    assert.is((await log.events(10, 0))[0]!.messages, 2)
  })

  const mixed = (): AppendEntry[] => [newEntry({ message_id: 'a' }), newRejection('bad'), newEntry({ message_id: 'b' })]

  test('messages and rejections commit together (L5)', async (log, itsStore) => {
    const outcomes = await log.append(mixed())
    assert.equal(
      outcomes.map((outcome) => outcome.kind),
      ['stored', 'rejected', 'stored'],
    )
    assert.equal([(await contents(log)).length, (await itsStore.rejected()).length], [2, 1])
  })

  test('an append that fails late has stored nothing, and succeeds when retried (L5)', async (log, itsStore) => {
    await store(log, { event_id: 'before' })
    const mend = await itsStore.breakAppends()
    const batch = mixed()
    assert.is(await catchErrorCode(log.append(batch)), 'storage_unavailable')
    assert.is((await contents(log)).length, 1)
    assert.equal(await itsStore.rejected(), [])
    await mend()
    const outcomes = await log.append(batch)
    assert.equal(
      outcomes.map((outcome) => outcome.kind),
      ['stored', 'rejected', 'stored'],
    )
    assert.equal([(await contents(log)).length, (await itsStore.rejected()).length], [3, 1])
  })

  test('a store that is busy is an error of its own, and stores nothing', async (log, itsStore) => {
    const release = await itsStore.lock()
    const batch = mixed()
    assert.is(await catchErrorCode(log.append(batch)), 'storage_busy')
    assert.is(await catchErrorCode(log.check(true)), 'storage_busy')
    await log.check(false)
    await release()
    await log.check(true)
    assert.equal([await contents(log), await itsStore.rejected()], [[], []])
    assert.is((await log.append(batch)).length, 3)
  })

  test('concurrent appends keep their order and their own outcomes', async (log) => {
    const calls = Array.from({ length: 50 }, (_, n) =>
      Array.from({ length: n % 4 }, () => newEntry({ event_id: `e${n}` })),
    )
    const outcomes = await Promise.all(calls.map((entries) => log.append(entries)))
    assert.equal(
      outcomes.map((one) => one.length),
      calls.map((one) => one.length),
    )
    const ids = outcomes.flat().map(({ db_id }) => db_id)
    assert.equal(
      ids,
      [...ids].sort((a, b) => a - b),
    )
    const { messages } = await log.read(createFilter('*'), 0, ALL)
    assert.equal(
      messages.map(({ event_id }) => event_id),
      calls.flatMap((entries, n) => entries.map(() => `e${n}`)),
    )
  })

  test('a failing commit rejects every caller', async (log, itsStore) => {
    const release = await itsStore.lock()
    const calls = Array.from({ length: 5 }, () => catchErrorCode(log.append([newEntry()])))
    assert.equal(
      await Promise.all(calls),
      Array.from({ length: 5 }, () => 'storage_busy'),
    )
    await release()
    assert.equal(await contents(log), [])
  })

  test('stop waits for pending appends', async (_log, itsStore) => {
    const other = await itsStore.open()
    const late = Promise.all([other.append([newEntry()]), other.append([newEntry()])])
    await other.stop()
    assert.is((await late).length, 2)
    assert.is((await contents(_log)).length, 2)
  })

  test('the store keeps its log_id and its rows when it is reopened', async (log, itsStore) => {
    await store(log, {}, {})
    const other = await itsStore.open()
    assert.ok(log.logId.length > 0)
    assert.is(other.logId, log.logId)
    assert.is(await other.head(), await log.head())
  })
}
