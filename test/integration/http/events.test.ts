// workers: 1; full: 1, 3
import * as assert from 'uvu/assert'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json } from '../../support/harness/wait.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { chat, chats, isError, publish } from '../../support/stages/rooms.ts'

let gateway: Gateway
const list = suite('GET /api/events')

list.before(async () => {
  gateway = await startGateway()
})
list.after(() => gateway.dispose())

list('begins empty, and lists events by their latest activity', async () => {
  const empty = await getJson(`${gateway.url}/api/events`)
  assert.equal([empty.status, empty.body.data, empty.body.has_more], [200, [], false])
  const a = await publish(gateway, 'a', chats(3))
  const b = await publish(gateway, 'b', chats(2))
  const names = async (): Promise<string[]> =>
    (await getJson(`${gateway.url}/api/events`)).body.data.map((event: Json) => event.event_id)
  assert.equal(await names(), ['b', 'a'])
  const [last] = await publish(gateway, 'a', chat(4))
  assert.equal(await names(), ['a', 'b'])
  const [first, second] = (await getJson(`${gateway.url}/api/events`)).body.data
  assert.equal([first.messages, first.last_db_id, second.messages, second.last_db_id], [4, last, 2, b[1]])
  const { data } = (await getJson(`${gateway.url}/api/events/a/messages`)).body
  assert.equal([first.first_at, first.last_at], [data[0].received_at, data[3].received_at])
  assert.is(data[0].db_id, a[0])
})

list('pages by limit and before, without gap or double', async () => {
  for (let n = 0; n < 11; n++) await publish(gateway, `page-${n}`, chat(n))
  const all = (await getJson(`${gateway.url}/api/events?limit=1000`)).body
  assert.is(all.has_more, false)
  assert.is(all.data.length, 13)
  for (const limit of [1, 4, 13]) {
    const seen: Json[] = []
    let more = true
    while (more) {
      const before = seen.length === 0 ? '' : `&before=${seen.at(-1).last_db_id}`
      const { body } = await getJson(`${gateway.url}/api/events?limit=${limit}${before}`)
      seen.push(...body.data)
      more = body.has_more
      assert.is(more, seen.length < all.data.length, `has_more behind ${seen.length}`)
    }
    assert.equal(seen, all.data, `limit ${limit}`)
  }
})

list('refuses malformed parameters, and takes a limit beyond the greatest as the greatest', async () => {
  for (const query of ['limit=0', 'limit=-1', 'limit=x', 'limit=', 'before=x', 'before=-1', 'limit=1&limit=1']) {
    isError(await getJson(`${gateway.url}/api/events?${query}`), 400, 'invalid_query')
  }
  assert.is((await getJson(`${gateway.url}/api/events?limit=1000000`)).status, 200)
})

list.run()
