import * as assert from 'uvu/assert'
import { LiveDelivery, type PageMessage } from '../../../src/web/deepsoc/live-delivery.ts'
import { findToken, PageToken } from '../../../src/web/deepsoc/page-token.ts'
import { describeStream } from '../../../src/web/deepsoc/stream-badge.ts'
import { suite } from '../../support/harness/suite.ts'
import { ModelPage } from '../../support/stages/deepsoc-page.ts'

/** A message of DeepSOC's row `id`. */
const row = (id: number, fields: object = {}): PageMessage => ({ id, message_id: `m${id}`, ...fields })

const line = (id: number, text: string, user_id: string | null = 'u-1'): PageMessage =>
  row(id, { message_type: 'user_message', message_from: 'user', user_id, message_content: { type: 'text', text } })

/** A page whose stream is live. */
const livePage = async (): Promise<{ page: ModelPage; stream: LiveDelivery }> => {
  const page = new ModelPage()
  const stream = new LiveDelivery(page)
  stream.onState('connecting')
  stream.onState('catching_up')
  await page.settle()
  stream.onState('live')
  return { page, stream }
}

const page = suite('the live messages of DeepSOC’s page')

page('go to every listener of the page, each once and in the order of the stream', async () => {
  const room = new ModelPage()
  const second: unknown[] = []
  room.socket.on('new_message', ({ message_id }) => second.push(message_id))
  const stream = new LiveDelivery(room)
  stream.onState('live')
  await room.settle()
  for (const id of [1, 2, 3]) stream.onMessage(row(id))
  assert.equal(room.lines, ['m1', 'm2', 'm3'])
  assert.equal(second, ['m1', 'm2', 'm3'])
})

page('follow the first load, also those that arrive before it has ended', async () => {
  const room = new ModelPage()
  room.database.push(row(1), row(2), row(3))
  const stream = new LiveDelivery(room)
  stream.onState('catching_up')
  stream.onMessage(row(3))
  stream.onMessage(row(4))
  assert.equal(room.lines, [])
  await room.settle()
  assert.equal(room.lines, ['m1', 'm2', 'm3', 'm4'])
})

page('are loaded after the stream has started, so that none is between the two', async () => {
  const room = new ModelPage()
  const stream = new LiveDelivery(room)
  await room.loadMessages()
  room.database.push(row(1))
  stream.onState('connecting')
  await room.settle()
  assert.is(room.loads, 1)
  stream.onState('catching_up')
  stream.onState('live')
  stream.onMessage(row(2))
  await room.settle()
  assert.is(room.loads, 2)
  assert.equal(room.lines, ['m1', 'm2'])
})

page('do not wait for ever for a load without an answer', async () => {
  const room = new ModelPage()
  room.isHanging = true
  const stream = new LiveDelivery(room)
  stream.onState('live')
  stream.onMessage(row(1))
  await room.settle()
  assert.equal(room.lines, [])
  await room.pass(10_000)
  assert.equal(room.lines, ['m1'])
})

page('are not doubled by Socket.IO, whichever is first', async () => {
  const { page: room, stream } = await livePage()
  stream.onMessage(row(1))
  room.socket.deliver(row(1))
  room.socket.deliver(row(2))
  stream.onMessage(row(2))
  await room.pass(2_000)
  assert.equal(room.lines, ['m1', 'm2'])
  assert.is(room.loads, 1, 'the stream had all')
})

page('keep their order if Socket.IO is ahead after an outage of both', async () => {
  const { page: room, stream } = await livePage()
  room.socket.deliver(row(3))
  for (const id of [1, 2, 3]) stream.onMessage(row(id))
  await room.pass(2_000)
  assert.equal(room.lines, ['m1', 'm2', 'm3'])
})

page('include what only Socket.IO has, after everything that the database has', async () => {
  const { page: room, stream } = await livePage()
  room.database.push(row(1), line(2, 'never published', 'u-2'))
  room.socket.deliver(line(2, 'never published', 'u-2'))
  room.socket.deliver(row(99, { id: null }))
  await room.pass(2_000)
  assert.equal(room.lines, ['m1', 'm2', 'm99'])
  stream.onMessage(row(3))
  assert.equal(room.lines, ['m1', 'm2', 'm99', 'm3'])
})

page('come from Socket.IO at once if the gateway has refused the stream', async () => {
  const { page: room, stream } = await livePage()
  stream.onState('closed')
  room.socket.deliver(row(1))
  assert.equal(room.lines, ['m1'])
})

page('replace the pending line of the user, and show it once', async () => {
  const { page: room, stream } = await livePage()
  room.write('isolate it', 't1')
  room.socket.deliver({ ...line(1, 'isolate it'), temp_id: 't1' })
  stream.onMessage(line(1, 'isolate it'))
  room.database.push(line(1, 'isolate it'))
  room.add(line(1, 'isolate it'))
  assert.equal(room.lines, ['m1'])
})

page('replace the pending line also if the stream is in front of the confirmation', async () => {
  for (const user_id of ['u-1', null]) {
    const { page: room, stream } = await livePage()
    room.write('isolate it', 't1')
    stream.onMessage(line(1, 'isolate it', user_id))
    stream.onMessage(row(2))
    assert.equal(room.lines, ['m1', 'm2'])
    room.socket.deliver({ ...line(1, 'isolate it', user_id), temp_id: 't1' })
    assert.equal(room.lines, ['m1', 'm2'], 'it keeps its place')
  }
})

page('leave a pending line alone if another user wrote the same', async () => {
  const { page: room, stream } = await livePage()
  room.write('ok', 't1')
  stream.onMessage(line(1, 'ok', 'u-2'))
  assert.equal(room.lines, ['pending: ok', 'm1'])
  room.socket.deliver({ ...line(2, 'ok'), temp_id: 't1' })
  stream.onMessage(line(2, 'ok'))
  assert.equal(room.lines, ['m1', 'm2'])
})

page('end the thinking of the AI, also if its answer was shown already', async () => {
  const { page: room, stream } = await livePage()
  room.isThinking = true
  room.add(row(1, { sender_type: 'ai' }))
  stream.onMessage(row(1, { sender_type: 'ai' }))
  assert.is(room.isThinking, false)
  assert.equal(room.lines, ['m1'])
})

page('make the page count again once DeepSOC has stored their tasks', async () => {
  const { page: room, stream } = await livePage()
  for (const id of [1, 2, 3]) stream.onMessage(row(id))
  assert.is(room.refreshes, 0)
  await room.pass(2_000)
  assert.is(room.refreshes, 1)
  stream.onMessage(row(4))
  await room.pass(2_000)
  assert.is(room.refreshes, 2)
})

page('have the fields without which the page would load its history again and again', async () => {
  const { page: room, stream } = await livePage()
  stream.onMessage({ message_id: 'a', received_at: '2026-11-22T10:00:00.000Z' })
  stream.onMessage({ message_id: 'b', id: 7, created_at: '2026-11-22T09:00:00', received_at: 'later' })
  const shown = room.messages().map(({ id, created_at }) => [id, created_at])
  assert.equal(shown, [
    [null, '2026-11-22T10:00:00.000Z'],
    [7, '2026-11-22T09:00:00'],
  ])
})

page('survive an error of a listener', async () => {
  const room = new ModelPage()
  room.socket.on('new_message', () => {
    throw new Error('of the page')
  })
  const stream = new LiveDelivery(room)
  stream.onState('live')
  await room.settle()
  stream.onMessage(row(1))
  stream.onMessage(row(2))
  assert.equal(room.lines, ['m1', 'm2'])
  assert.is(room.errors.length, 2)
})

page('are left to a page without a listener', () => {
  const room = new ModelPage()
  for (const listener of room.socket.listeners()) room.socket.off('new_message', listener)
  assert.throws(() => new LiveDelivery(room), /no listener/)
})

page.run()

const token = suite('the token of DeepSOC’s page')

token('is read where the page reads it', () => {
  assert.is(findToken('stored', 'access_token=cookie'), 'stored')
  assert.is(findToken(null, 'a=1; access_token=c.o=o; b=2'), 'c.o=o')
  assert.is(findToken('', 'xaccess_token=1; access_token='), null)
})

token('is renewed once the user has signed in again, and not before', () => {
  let kept: string | null = 'old'
  const one = new PageToken(() => kept)
  const refused = { reason: { code: 'token_invalid', status: 401 } }
  assert.is(one.next(), 'old')
  assert.is(one.isRenewed(refused), false)
  kept = 'new'
  assert.is(one.isRenewed({ reason: null }), false)
  assert.is(one.isRenewed({ reason: { code: 'unreachable' } }), false)
  assert.is(one.isRenewed(refused), true)
  assert.is(one.next(), 'new')
  kept = null
  assert.throws(one.next, /sign in/)
  assert.is(one.isRenewed({ reason: { code: 'token_failed' } }), false)
  kept = 'newest'
  assert.is(one.isRenewed({ reason: { code: 'token_failed' } }), true)
})

token.run()

const badge = suite('the badge on DeepSOC’s page')

badge('shows the state of the stream, and why it is not live', () => {
  const textFor = (...[state, reason]: [Parameters<typeof describeStream>[0]['state'], object?]): string => {
    const { text, title, look } = describeStream({ state, reason: (reason as { code: string }) ?? null })
    return [text, title, look].join(' | ')
  }
  assert.is(textFor('live'), '网关：实时 |  | connected')
  assert.is(textFor('catching_up'), '网关：同步中 |  | connecting')
  assert.is(textFor('waiting', { code: 'unreachable' }), '网关：连接断开 | 无法连接网关\n点击立即重试。 | reconnecting')
  assert.match(textFor('waiting', { code: 'token_expired' }), /登录已过期.*重新登录.*error/)
  assert.match(textFor('closed', { code: 'token_invalid', status: 401 }), /登录已过期/)
  assert.match(textFor('closed', { code: 'event_forbidden', status: 403, message: 'no', hint: 'do' }), /无权.*no\ndo/s)
  assert.match(textFor('closed', { code: 'unknown', message: 'the text' }), /已停止 \| the text\n点击立即重试。/)
})

badge.run()
