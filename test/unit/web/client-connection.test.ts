import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { ClientStage } from '../../support/stages/client-stage.ts'

const line = suite('the connection of a channel')

line('reports its state and its cursor', async () => {
  const stage = new ClientStage({ lastMessageDbId: 2 })
  stage.gateway.append(5)
  await stage.start()
  assert.equal(stage.states, ['connecting', 'catching_up', 'live'])
  assert.equal(stage.ids, [3, 4, 5])
  const { cursor, resumedFrom, hello, reason, progress, connection } = stage.tab.status
  assert.equal([cursor, resumedFrom, reason, progress, connection], [5, 2, null, null, 'own'])
  assert.equal([hello?.cursor, hello?.first_db_id, hello?.last_db_id], [2, 1, 5])
  stage.tab.close()
  assert.is(stage.tab.state, 'closed')
  assert.is(stage.tab.status.reason?.code, 'closed')
  assert.is(stage.gateway.sources.size, 0)
})

line('shows its progress while it catches up', async () => {
  const seen: unknown[] = []
  const stage = new ClientStage({ onMessage: () => seen.push(stage.tab.status.progress) })
  stage.gateway.append(2, 4)
  await stage.start()
  assert.equal(seen, [
    { from: 0, at: 5, to: 10, messages: 1 },
    { from: 0, at: 10, to: 10, messages: 2 },
  ])
})

line('starts at the cursor in its URL, and continues from its own cursor afterwards', async () => {
  const stage = new ClientStage({}, 'http://gateway/api/events/e/stream?tail=5&message_type=a,b')
  stage.gateway.append(3)
  await stage.start()
  stage.gateway.end('max_age')
  await stage.settle()
  await stage.pass(1_000)
  const [first, second] = stage.gateway.asked.map((url) => new URL(url).search)
  assert.is(first, '?tail=5&message_type=a%2Cb')
  assert.is(second, '?message_type=a%2Cb&last_message_db_id=3')
  const latest = new ClientStage({ lastMessageDbId: 'latest' }, ['a b', '*'])
  await latest.start()
  assert.is(latest.gateway.asked[0], 'http://gateway/api/stream?event_id=a+b&event_id=*&last_message_db_id=latest')
})

line('waits longer and longer, with random spread, while the gateway is unreachable', async () => {
  const stage = new ClientStage()
  stage.gateway.kill()
  await stage.start()
  const waits: number[] = []
  for (let n = 0; n < 6; n++) {
    assert.is(stage.tab.state, 'waiting')
    assert.is(stage.tab.status.reason?.code, 'unreachable')
    assert.is(stage.tab.status.failures, n + 1)
    waits.push(stage.waits)
    await stage.browser.advance(stage.waits)
    await stage.settle()
  }
  // The random source of the model always returns a half.
  assert.equal(waits, [1_500, 3_000, 6_000, 12_000, 22_500, 22_500])
  stage.gateway.start()
  stage.tab.retry()
  await stage.settle()
  assert.is(stage.tab.state, 'live')
  assert.is(stage.tab.status.failures, 0)
})

line('waits no longer than a timer can, whatever Retry-After says', async () => {
  const stage = new ClientStage()
  stage.gateway.refusal = { status: 503, code: 'overloaded', retryAfter: 31_536_000 }
  await stage.start()
  assert.ok(stage.waits > 2_000_000_000 && stage.waits <= 2_147_483_647, String(stage.waits))
})

line('reads the reason of a refusal, and reconnects after Retry-After', async () => {
  const stage = new ClientStage()
  stage.gateway.refusal = { status: 429, code: 'too_many_streams', retryAfter: 20 }
  await stage.start()
  assert.equal(stage.tab.status.reason, {
    code: 'too_many_streams',
    status: 429,
    message: 'too_many_streams',
    hint: 'too_many_streams',
  })
  assert.ok(stage.waits >= 20_000, String(stage.waits))
  stage.gateway.refusal = { status: 502 }
  await stage.browser.advance(stage.waits)
  await stage.settle()
  assert.equal(stage.tab.status.reason, { code: 'not_a_stream', status: 502 })
  stage.gateway.refusal = null
  await stage.browser.advance(stage.waits)
  await stage.settle()
  assert.is(stage.tab.state, 'live')
})

for (const [status, code] of [
  [400, 'invalid_query'],
  [401, 'token_missing'],
  [403, 'event_forbidden'],
] as const) {
  line(`ends at a refusal that time does not change: ${status} ${code}`, async () => {
    const stage = new ClientStage()
    stage.gateway.refusal = { status, code }
    await stage.start()
    assert.is(stage.tab.state, 'closed')
    assert.is(stage.tab.status.reason?.code, code)
    const asked = stage.gateway.asked.length
    await stage.pass(600_000)
    assert.is(stage.gateway.asked.length, asked)
    stage.gateway.refusal = null
    stage.tab.retry()
    await stage.settle()
    assert.is(stage.tab.state, 'live')
  })
}

line('reconnects soon after an announced end, and with random spread after a restart', async () => {
  for (const [reason, ms] of [
    ['max_age', 250],
    ['token_expired', 250],
    ['too_slow', 1_500],
    ['database_corrupt', 1_500],
    ['database_unreachable', 1_500],
    ['shutdown', 3_000],
  ] as const) {
    const stage = await new ClientStage().start()
    stage.gateway.end(reason)
    await stage.settle()
    assert.is(stage.tab.state, 'waiting')
    assert.is(stage.tab.status.reason?.code, reason)
    assert.is(stage.waits, ms)
  }
})

line('detects a dead connection by its silence, and resumes after its last id', async () => {
  const stage = await new ClientStage().start()
  stage.gateway.append(1)
  await stage.pass(60_000)
  assert.is(stage.gateway.asked.length, 1)
  stage.gateway.mute = true
  await stage.pass(28_000, null)
  assert.is(stage.tab.state, 'live')
  await stage.pass(6_000, null)
  assert.equal(stage.reasons, ['heartbeat_timeout'])
  stage.gateway.mute = false
  stage.gateway.append(1)
  await stage.pass(10_000)
  assert.equal(stage.ids, [1, 2])
})

line('learns the heartbeat interval from the gateway’s timestamps', async () => {
  const stage = await new ClientStage().start()
  assert.is(stage.tab.status.idleTimeoutMs, 31_000)
  await stage.pass(3_000, 1_000)
  assert.is(stage.tab.status.idleTimeoutMs, 3_000)
  // The interval is longer than assumed; it is learned after a few false timeouts.
  const rare = await new ClientStage({ heartbeatSeconds: 2 }).start()
  await rare.pass(320_000, 40_000)
  assert.is(rare.tab.status.idleTimeoutMs, 81_000)
  assert.is(rare.tab.state, 'live')
  const streams = rare.gateway.asked.length
  await rare.pass(640_000, 40_000)
  assert.is(rare.gateway.asked.length, streams)
})

line('opens a new connection after a sleep, once received data was read', async () => {
  const stage = await new ClientStage().start()
  await stage.pass(30_000)
  stage.browser.sleep(3_600_000)
  // The connection survived: the next heartbeat arrives soon.
  stage.gateway.heartbeat()
  await stage.browser.advance(2_000)
  await stage.settle()
  await stage.pass(60_000)
  assert.is(stage.gateway.asked.length, 1)
  stage.browser.sleep(3_600_000)
  stage.gateway.mute = true
  await stage.pass(6_000, null)
  assert.equal(stage.reasons, ['heartbeat_timeout'])
})

line('reconnects immediately if the machine slept while it waited', async () => {
  const stage = new ClientStage()
  stage.gateway.kill()
  await stage.start()
  await stage.pass(60_000, null)
  assert.ok(stage.waits > 4_000, String(stage.waits))
  stage.gateway.start()
  stage.browser.sleep(60_000)
  await stage.browser.advance(2_100)
  await stage.settle()
  assert.is(stage.tab.state, 'live')
})

line('reports that the browser is offline, and reconnects with the network', async () => {
  const stage = await new ClientStage().start()
  stage.browser.online = false
  stage.tab.network(false)
  assert.is(stage.tab.state, 'live', 'a gateway on this machine is there all the same')
  stage.gateway.kill()
  await stage.settle()
  assert.is(stage.tab.status.reason?.code, 'offline')
  await stage.pass(40_000, null)
  stage.gateway.start()
  stage.browser.online = true
  stage.tab.network(true)
  await stage.settle()
  assert.is(stage.tab.state, 'live')
  // A change of the network that the connection itself did not detect.
  stage.tab.network(false)
  await stage.browser.advance(500)
  stage.tab.network(true)
  assert.is(stage.tab.state, 'connecting')
})

line('takes a new ticket for each connection, by a new token', async () => {
  let n = 0
  const stage = new ClientStage({ token: async () => `token-${++n}` })
  stage.gateway.ticketed = true
  await stage.start()
  stage.gateway.end('token_expired')
  await stage.settle()
  await stage.pass(2_000)
  assert.is(stage.tab.state, 'live')
  const tickets = stage.gateway.asked.map((url) => new URL(url).searchParams.get('ticket'))
  assert.equal(tickets, ['ticket-1', 'ticket-2'])
  assert.equal(stage.gateway.shown, ['Bearer token-1', 'Bearer token-2'])
})

line('uses the ticket in its URL first, then those it requests itself', async () => {
  const stage = new ClientStage({}, 'http://gateway/soc/api/stream?event_id=a&ticket=given')
  await stage.start()
  stage.gateway.kill()
  await stage.settle()
  stage.gateway.start()
  await stage.pass(3_000)
  const tickets = stage.gateway.asked.map((url) => new URL(url).searchParams.get('ticket'))
  assert.equal(tickets, ['given', 'ticket-1'])
})

line('retries a refused token only a few times, and a new one immediately', async () => {
  const stage = new ClientStage({ token: () => 'old' })
  stage.gateway.refusal = { status: 401, code: 'token_expired' }
  await stage.start()
  assert.is(stage.tab.state, 'waiting')
  await stage.pass(60_000, null)
  assert.is(stage.tab.state, 'closed')
  assert.is(stage.tab.status.reason?.code, 'token_expired')
  assert.is(stage.gateway.shown.length, 4)
  let n = 0
  const renewing = new ClientStage({ token: () => `token-${++n}` })
  renewing.gateway.refusal = { status: 401, code: 'token_expired' }
  await renewing.start()
  await renewing.pass(120_000, null)
  assert.is(renewing.tab.state, 'waiting')
})

line('reports the error of the page’s own token function, and calls it again', async () => {
  let fails = true
  const stage = new ClientStage({
    token: () => {
      if (fails) throw new Error('no session')
      return 'token'
    },
  })
  await stage.start()
  assert.equal(stage.tab.status.reason, { code: 'token_failed', message: 'Error: no session' })
  fails = false
  await stage.pass(3_000)
  assert.is(stage.tab.state, 'live')
})

line('reports a reset before everything is sent again', async () => {
  const stage = new ClientStage({ lastMessageDbId: 900 })
  stage.gateway.append(2)
  await stage.start()
  assert.equal(
    stage.resets.map(({ reason }) => reason),
    ['cursor_ahead'],
  )
  assert.equal(stage.ids, [1, 2])
  stage.gateway.replace('new', 3)
  await stage.settle()
  await stage.pass(4_000, 1_000)
  assert.equal(
    stage.resets.map(({ reason }) => reason),
    ['cursor_ahead', 'log_changed'],
  )
  assert.is(stage.tab.status.reset?.reason, 'log_changed')
  assert.equal(stage.ids, [1, 2, 1, 2, 3])
  const kept = new ClientStage({ lastMessageDbId: 1, logId: 'another' })
  kept.gateway.append(2)
  await kept.start()
  await kept.pass(1_000)
  assert.equal(kept.ids, [1, 2])
  assert.is(kept.resets[0]?.reason, 'log_changed')
})

line('continues after callbacks of the page that throw, and reports them', async () => {
  const fault = new Error('the page’s fault')
  const ids: number[] = []
  const stage = new ClientStage({
    onMessage: ({ db_id }) => {
      ids.push(db_id)
      throw fault
    },
    onState: () => {
      throw fault
    },
  })
  stage.gateway.append(2)
  await stage.start()
  assert.equal(ids, [1, 2])
  assert.is(stage.tab.state, 'live')
  // Two messages, three states.
  assert.equal(stage.browser.reports, Array(5).fill(fault))
})

line('calls no callback once it is closed, not even from within one', async () => {
  const stage: ClientStage = new ClientStage({ onMessage: () => stage.tab.close() })
  stage.gateway.append(3)
  await stage.start()
  await stage.pass(60_000)
  assert.equal(stage.states, ['connecting', 'catching_up', 'closed'])
  stage.tab.retry()
  stage.tab.start()
  assert.is(stage.tab.state, 'closed')
})

line('stays closed if it is closed while it reconnects', async () => {
  let closesAt: string | null = null
  const stage: ClientStage = new ClientStage({ onState: (state) => state === closesAt && stage.tab.close() })
  await stage.start()
  closesAt = 'connecting'
  stage.gateway.end('max_age')
  await stage.settle()
  await stage.pass(60_000)
  assert.is(stage.tab.state, 'closed')
  assert.is(stage.gateway.sources.size, 0)
})

line('stays closed if it is closed by the reset for another database', async () => {
  const stage: ClientStage = new ClientStage({ lastMessageDbId: 1, logId: 'another', onReset: () => stage.tab.close() })
  await stage.start()
  await stage.pass(60_000)
  assert.is(stage.tab.state, 'closed')
  assert.is(stage.gateway.sources.size, 0)
})

line.run()
