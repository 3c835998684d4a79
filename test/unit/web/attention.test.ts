import { mock } from 'node:test'
import * as assert from 'uvu/assert'
import {
  type AttentionReason,
  compileAttention,
  getPageUser,
  type Me,
} from '../../../src/web/page/room/model/attention.ts'
import { type Entry, toEntry } from '../../../src/web/page/room/model/entry.ts'
import { compileFilter, EMPTY_FILTER, isEverything } from '../../../src/web/page/room/model/filter.ts'
import { saveNotices, wantsNotices } from '../../../src/web/page/room/notices/setting.ts'
import { type AttentionNotice, AttentionWatch, NOTICE_INTERVAL_MS } from '../../../src/web/page/room/notices/watch.ts'
import { suite } from '../../support/harness/suite.ts'

const entryOf = (message: object, id = 1, raw = JSON.stringify(message)): Entry =>
  toEntry({ received_at: '2026-11-22T10:00:00.000Z', db_id: id, ...JSON.parse(raw) }, raw)

const typed = (message_type: string, data: unknown = {}, extra: object = {}): Entry =>
  entryOf({ message_from: '_captain', message_type, message_content: { data }, ...extra })

const ANN: Me = { userId: 'u-7', names: ['Ann', '安娜'] }

const attention = suite('a message needs attention')

attention('if it is an error, an unexpected response or the completion of the event', () => {
  const getAttentionReason = compileAttention(ANN)
  const reasons: readonly (readonly [Entry, AttentionReason | null])[] = [
    [typed('error_action_creation'), 'error'],
    [typed('llm_unexpected_response'), 'warning'],
    [typed('event_completed_by_captain', { text: 'done' }), 'completed'],
    [typed('event_resolved_manual', {}), 'completed'],
    [typed('status', { event_status: 'completed' }), 'completed'],
    [typed('status', { event_status: 'processing' }), null],
    [typed('llm_request'), null],
    [typed('llm_response', { response_text: 'go' }), null],
    // A person does not complete an event by writing so.
    [typed('user_message', { event_status: 'completed' }, { sender_type: 'user' }), null],
  ]
  for (const [entry, reason] of reasons) assert.is(getAttentionReason(entry), reason, entry.raw)
})

attention('if its content names the user as a word, in any case and as Python escapes it', () => {
  const getAttentionReason = compileAttention(ANN)
  const names = (text: unknown): boolean => getAttentionReason(typed('chat', text)) === 'mention'
  for (const text of ['Ann, look', '@ann', 'ask ANN', '请ann看看', { to: ['x', { deep: 'for Ann.' }] }, '请安娜处理'])
    assert.ok(names(text), JSON.stringify(text))
  for (const text of ['annex', 'Joann', 'ann_1', 'hann', '安 娜', { ann: 'x' }])
    assert.not.ok(names(text), JSON.stringify(text))
  const python = '{"message_type":"chat","message_content":"\\u8bf7\\u5b89\\u5a1c\\u770b"}'
  assert.is(getAttentionReason(entryOf({}, 1, python)), 'mention')
  assert.is(getAttentionReason(entryOf({ user_nickname: 'Ann', message_type: 'chat', message_content: 'hi' })), null)
})

attention('not if the user has written it', () => {
  const getAttentionReason = compileAttention(ANN)
  const own = { sender_type: 'user', user_id: 'u-7' }
  assert.is(getAttentionReason(typed('chat', 'Ann here', own)), null)
  assert.is(getAttentionReason(typed('chat', 'Ann here', { ...own, user_id: 'u-8' })), 'mention')
})

attention('by names that mean something, of the token or as typed', () => {
  assert.equal(getPageUser({ sub: 'u-7', name: 'Ann' }, 'other'), { userId: 'u-7', names: ['Ann', 'u-7'] })
  assert.equal(getPageUser({ sub: '12', name: null }, 'other'), { userId: '12', names: [] })
  assert.equal(getPageUser({ sub: null, name: null }, ' Bob '), { userId: 'Bob', names: ['Bob'] })
  assert.equal(getPageUser({ sub: null, name: null }, ''), { userId: 'web', names: [] })
  const odd = compileAttention({ userId: '', names: ['a.*(b', '[x-y]/z'] })
  assert.is(odd(typed('chat', 'for a.*(b, now')), 'mention')
  assert.is(odd(typed('chat', '[x-y]/z')), 'mention')
  assert.is(odd(typed('chat', 'aaab')), null)
})

attention('and only such messages pass the filter', () => {
  const filter = { ...EMPTY_FILTER, attention: true }
  assert.not.ok(isEverything(filter))
  const passes = compileFilter(filter, ANN)
  const all = [typed('error_internal'), typed('llm_response'), typed('chat', 'hello Ann'), typed('chat', 'hello Bob')]
  assert.equal(all.map(passes), [true, false, true, false])
  assert.equal(all.map(compileFilter({ ...filter, types: new Set(['chat']) }, ANN)), [false, false, true, false])
})

attention.run()

const notices = suite('notices of a room')

let notified: AttentionNotice[]
let isAway: boolean
let watch: AttentionWatch
let entries: Entry[]

const getAttentionReason = compileAttention(ANN)

const arrive = (...types: string[]): void => {
  for (const type of types) {
    const id = (entries.at(-1)?.id ?? 0) + 1
    entries = [...entries, entryOf({ message_type: type, message_content: '' }, id)]
  }
  watch.look(entries, true, getAttentionReason)
}

/** Returns the db_id and the count of each notice. */
const told = (): [number, number][] => notified.map(({ latest, messages }) => [latest.id, messages])

notices.before.each(() => {
  mock.timers.enable({ apis: ['setTimeout'] })
  notified = []
  isAway = true
  entries = []
  watch = new AttentionWatch({ isAway: () => isAway, notify: (notice) => void notified.push(notice) })
})
notices.after.each(() => {
  watch.seen()
  mock.timers.reset()
})

notices('concern new messages only, not those that are loaded first, older history, or a replaced database', () => {
  entries = [entryOf({ message_type: 'error_internal' }, 5)]
  watch.look(entries, false, getAttentionReason)
  watch.look(entries, true, getAttentionReason)
  entries = [entryOf({ message_type: 'error_internal' }, 4), ...entries]
  watch.look(entries, true, getAttentionReason)
  assert.equal(told(), [])
  arrive('error_internal')
  assert.equal(told(), [[6, 1]])
  watch.look([], true, getAttentionReason)
  watch.look([], false, getAttentionReason)
  watch.look(entries.slice(0, 2), false, getAttentionReason)
  watch.look(entries.slice(0, 2), true, getAttentionReason)
  assert.equal([told().length, watch.pending.get()], [1, 1])
})

notices('come at once, then at intervals with the latest message and the number of all', () => {
  arrive()
  arrive('chat', 'error_internal')
  assert.equal(told(), [[2, 1]])
  arrive('error_internal', 'chat')
  arrive('event_completed_by_captain')
  assert.equal(told().length, 1)
  mock.timers.tick(NOTICE_INTERVAL_MS)
  assert.equal([told().at(-1), notified.at(-1)!.reason], [[5, 3], 'completed'])
  mock.timers.tick(NOTICE_INTERVAL_MS)
  assert.is(notified.length, 2)
  arrive('error_internal')
  assert.is(notified.length, 3)
})

notices('end when the user is back, and are not sent while it is there or wants none', () => {
  arrive()
  arrive('error_internal')
  arrive('error_internal')
  assert.is(watch.pending.get(), 2)
  mock.timers.tick(NOTICE_INTERVAL_MS - 1)
  watch.seen()
  assert.equal([watch.pending.get(), notified.length], [0, 1])
  arrive('error_internal', 'chat')
  arrive('error_internal')
  mock.timers.tick(NOTICE_INTERVAL_MS - 1)
  assert.is(notified.length, 2, 'the interval starts with the first notice')
  watch.seen()
  mock.timers.tick(NOTICE_INTERVAL_MS)
  assert.equal([watch.pending.get(), notified.length], [0, 2])
  isAway = false
  arrive('error_internal')
  isAway = true
  entries = [...entries, entryOf({ message_type: 'error_internal' }, 9)]
  watch.look(entries, true, null)
  arrive('chat')
  assert.equal([watch.pending.get(), notified.length], [0, 2])
})

notices('are remembered per event, also if the storage has something else in it', () => {
  const kept = new Map<string, string>()
  const localStorage = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, text: string) => void kept.set(name, text),
    removeItem: (name: string) => void kept.delete(name),
  }
  Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true })
  try {
    saveNotices('a', true)
    saveNotices('b', true)
    saveNotices('a', true)
    assert.equal(['a', 'b', 'c'].map(wantsNotices), [true, true, false])
    saveNotices('a', false)
    assert.equal(['a', 'b'].map(wantsNotices), [false, true])
    for (const odd of ['', '{}', '[1,null]', 'x']) {
      kept.set('notices', odd)
      assert.is(wantsNotices('b'), false)
    }
    for (let n = 0; n < 600; n++) saveNotices(`event-${n}`, true)
    assert.equal(['event-99', 'event-100', 'event-599'].map(wantsNotices), [false, true, true])
  } finally {
    Reflect.deleteProperty(globalThis, 'localStorage')
  }
})

notices.run()
