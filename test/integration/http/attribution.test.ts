import * as assert from 'uvu/assert'
import { bearer, guarded, sign } from '../../support/clients/tokens.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type HttpResult, type Json, postJson } from '../../support/harness/wait.ts'
import { messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'
import { eventUrl, isError, newRoom } from '../../support/stages/rooms.ts'

/** Claims of a token as Flask-JWT-Extended makes it for DeepSOC: neither events nor scope. */
const DEEPSOC_CLAIMS = { sub: 'analyst1', fresh: false, type: 'access', jti: '0a1b' }

const MAX = 2_000

let gateway: Gateway

const attribution = suite('who published a message')

attribution.before(async () => {
  const env = { JWT_DEFAULT_EVENTS: '*', JWT_DEFAULT_SCOPE: 'chat', MAX_MESSAGE_BYTES: String(MAX) }
  gateway = await startGateway({ env: guarded(env) })
})
attribution.after(() => gateway?.dispose())

type TokenClaims = Parameters<typeof sign>[0]

const post = async (event_id: string, claims: TokenClaims, payload: Json, key?: string): Promise<HttpResult> =>
  postJson(`${eventUrl(gateway, event_id)}/messages`, payload, {
    headers: { ...bearer(await sign(claims)), ...(key !== undefined && { 'Idempotency-Key': key }) },
  })

const stored = async (event_id: string, query = ''): Promise<Json[]> => {
  const headers = bearer(await sign({ events: '*' }))
  return (await getJson(`${eventUrl(gateway, event_id)}/messages${query}`, { headers })).body.data
}

attribution('a message over HTTP carries the sub of its token, and else is stored as it was sent', async () => {
  const room = newRoom()
  const body = '{ "message_from":"_captain", "n":12302548181076029, "published_by":"root" }'
  assert.is((await post(room, { sub: 'agent-7', scope: 'publish' }, body)).status, 201)
  const batch = '[{"message_type":"llm_response"},{}]'
  assert.is((await post(room, { sub: 'agent-8', scope: 'publish' }, batch)).status, 201)
  const messages = await stored(room)
  assert.equal(
    messages.map(({ published_by }) => published_by),
    ['agent-7', 'agent-8', 'agent-8'],
  )
  const [row] = messageRows(gateway.dbFile, room)
  assert.is(row!.body, `${body.slice(0, -2)},"published_by":"agent-7"}`)
})

attribution('a token of DeepSOC writes as its user, in the types of people only', async () => {
  const room = newRoom()
  const hello = {
    message_type: 'user_message',
    message_from: '_captain',
    message_content: { type: 'text', text: 'hi' },
  }
  assert.is((await post(room, DEEPSOC_CLAIMS, hello)).status, 201)
  assert.is((await post(room, { ...DEEPSOC_CLAIMS, name: 'Ann Lee' }, { ...hello, message_type: 'chat' })).status, 201)
  for (const message of [{}, { message_type: 'llm_response' }, { ...hello, message_type: undefined }]) {
    isError(await post(room, DEEPSOC_CLAIMS, message), 403, 'chat_forbidden')
  }
  const inBatch = await post(room, DEEPSOC_CLAIMS, [hello, { message_type: 'command_result' }])
  isError(inBatch, 403, 'chat_forbidden')
  assert.is(inBatch.body.index, 1)
  isError(await post(room, { ...DEEPSOC_CLAIMS, sub: '_captain' }, hello), 403, 'chat_forbidden')
  const messages = await stored(room, '?message_from=analyst1')
  assert.equal(
    messages.map((m) => [m.message_from, m.user_nickname, m.sender_type, m.published_by, m.message_type]),
    [
      ['analyst1', null, 'user', 'analyst1', 'user_message'],
      ['analyst1', 'Ann Lee', 'user', 'analyst1', 'chat'],
    ],
  )
})

attribution('a retry of the same person is the same message, and another person cannot take its id', async () => {
  const room = newRoom()
  const hello = { message_type: 'chat', message_content: { text: 'once' } }
  assert.is((await post(room, { sub: 'ann' }, hello, 'key')).status, 201)
  const again = await post(room, { sub: 'ann' }, hello, 'key')
  assert.is(again.body.data.duplicate, true, again.text)
  isError(await post(room, { sub: 'bob' }, hello, 'key'), 409, 'message_conflict')
})

attribution('a message that its attribution makes too large is refused', async () => {
  const room = newRoom()
  const body = (bytes: number): string => `{"message_type":"chat","x":"${'x'.repeat(bytes - 30)}"}`
  assert.is(Buffer.byteLength(body(MAX)), MAX)
  isError(await post(room, { sub: 'ann' }, body(MAX)), 413, 'body_too_large')
  assert.is((await post(room, { sub: 'ann' }, body(MAX - 200))).status, 201)
})

attribution('GET /api/session shows the caller and what the token allows', async () => {
  const session = async (claims: TokenClaims): Promise<Json> =>
    (await getJson(`${gateway.url}/api/session`, { headers: bearer(await sign(claims)) })).body.data
  assert.equal(await session(DEEPSOC_CLAIMS), {
    sub: 'analyst1',
    name: null,
    scopes: ['chat'],
    events: '*',
    session: false,
  })
  assert.equal(await session({ sub: 'ann', preferred_username: 'Ann', events: ['a'], scope: 'publish admin' }), {
    sub: 'ann',
    name: 'Ann',
    scopes: ['publish', 'admin'],
    events: ['a'],
    session: false,
  })
  assert.equal((await session({ scope: '' })).scopes, [])
  isError(await getJson(`${gateway.url}/api/session`), 401, 'token_missing')
})

attribution('without authentication any author is accepted, and published_by is delivered as null', async () => {
  const open = await startGateway()
  try {
    const room = newRoom()
    assert.equal((await getJson(`${open.url}/api/session`)).body.data, {
      sub: null,
      name: null,
      scopes: ['publish', 'admin'],
      events: '*',
      session: false,
    })
    await postJson(`${eventUrl(open, room)}/messages`, [{ message_from: '_captain' }, { published_by: 'ann' }])
    const { body } = await getJson(`${eventUrl(open, room)}/messages`)
    assert.equal(
      body.data.map((message: Json) => [message.message_from, message.published_by]),
      [
        ['_captain', undefined],
        [undefined, null],
      ],
    )
  } finally {
    await open.dispose()
  }
})

attribution.run()
