import * as assert from 'uvu/assert'
import { z } from 'zod'
import type { Access, Authorise } from '../../../src/http/auth/authorize.ts'
import { dbIdField, EventIdField, EventsField, limitField, listField } from '../../../src/http/parameters.ts'
import type { RequestView } from '../../../src/http/request-view.ts'
import { defineRoute } from '../../../src/http/route.ts'
import { suite } from '../../support/harness/suite.ts'

const request = (querystring: string): RequestView => ({
  method: 'GET',
  querystring,
  get: () => '',
  req: { headers: {}, socket: {} as RequestView['req']['socket'] },
})

const ACCESS: Access = { events: [], readableEvents: [], principal: null, requireValid: () => {} }

/** Records its calls. */
const recorder = (refusal?: Error) => {
  const asked: [string, readonly string[] | '*'][] = []
  const authorise: Authorise = async (_request, action, events) => {
    asked.push([action, events])
    if (refusal !== undefined) throw refusal
    return { ...ACCESS, events }
  }
  return { asked, authorise }
}

const SHARED = { method: 'GET', tag: 'messages', summary: '', responses: {}, handler: () => () => undefined } as const

const QUERY = { limit: limitField(10, 100), before: dbIdField(''), types: listField('') }
const PATH_ROUTE = defineRoute({
  ...SHARED,
  path: '/api/events/:event_id/x',
  access: 'read',
  params: { event_id: EventIdField },
  query: QUERY,
})
const QUERY_ROUTE = defineRoute({ ...SHARED, path: '/api/x', access: 'stream', query: { event_id: EventsField } })
const PLAIN_ROUTE = defineRoute({
  ...SHARED,
  path: '/api/x/:id',
  access: 'operate',
  params: { id: z.string().regex(/^\d+$/, 'must be digits') },
  query: QUERY,
})

const route = suite('a route')

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'none'
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`
  }
}

route('authorises the event of its path, the events of its query, or all that the caller can access', async () => {
  const { asked, authorise } = recorder()
  await PATH_ROUTE.admit(authorise, request('event_id=other'), { event_id: 'a' })
  await QUERY_ROUTE.admit(authorise, request('event_id=a&event_id=b,c'), {})
  await QUERY_ROUTE.admit(authorise, request('event_id=*'), {})
  await PLAIN_ROUTE.admit(authorise, request('event_id=a'), { id: '7' })
  assert.equal(asked, [
    ['read', ['a']],
    ['stream', ['a', 'b,c']],
    ['stream', '*'],
    ['operate', '*'],
  ])
})

route('authorises before it validates anything but the events', async () => {
  const refused = Object.assign(new Error('no'), { code: 'refused' })
  const { asked, authorise } = recorder(refused)
  assert.is(await codeOf(PLAIN_ROUTE.admit(authorise, request('limit=x'), { id: 'x' })), 'refused: no')
  assert.is(await codeOf(PATH_ROUTE.admit(authorise, request('limit=x'), { event_id: 'a' })), 'refused: no')
  assert.is(asked.length, 2)
  assert.match(
    await codeOf(PATH_ROUTE.admit(authorise, request(''), { event_id: '\0' })),
    /^invalid_event_id: event_id /,
  )
  assert.is(await codeOf(QUERY_ROUTE.admit(authorise, request(''), {})), 'invalid_query: event_id is missing.')
  const both = QUERY_ROUTE.admit(authorise, request('event_id=*&event_id=a'), {})
  assert.is(await codeOf(both), 'invalid_query: event_id=* cannot be combined with other events.')
  const many = Array.from({ length: 101 }, (_, n) => `event_id=${n}`).join('&')
  assert.is(
    await codeOf(QUERY_ROUTE.admit(authorise, request(many), {})),
    'too_many_events: The request names 101 events; at most 100 are allowed.',
  )
  assert.is(asked.length, 2)
})

route('requires no token if it is public', async () => {
  const { asked, authorise } = recorder(new Error('no'))
  const open = defineRoute({ ...SHARED, path: '/', access: 'public' })
  assert.equal(await open.admit(authorise, request('x=1'), {}), { access: null, params: {}, query: {} })
  assert.equal(asked, [])
})

route('must declare its access', () => {
  const { method, ...rest } = SHARED
  // @ts-expect-error access is missing
  const undeclared = () => defineRoute({ ...rest, method, path: '/' })
  assert.type(undeclared, 'function')
})

route('gives its handler the values of its parameters, read by their schemas', async () => {
  const { authorise } = recorder()
  const read = async (text: string) =>
    (await PATH_ROUTE.admit(authorise, request(text), { event_id: 'a' })).query satisfies {
      limit: number
      before?: number | undefined
      types?: string[] | undefined
    }
  assert.equal(await read(''), { limit: 10, before: undefined, types: undefined })
  assert.equal(await read('limit=7&before=3&types=a, b,,&types=c&unknown=1'), {
    limit: 7,
    before: 3,
    types: ['a', 'b', 'c'],
  })
  assert.equal(await read('limit=101&types='), { limit: 100, before: undefined, types: undefined })
  for (const [text, message] of [
    ['limit=0', 'limit must be a whole number from 1 to 100.'],
    ['limit=', 'limit must be a whole number from 1 to 100.'],
    ['limit=1&limit=1', 'limit occurs 2 times.'],
    ['before=-1', 'before must be a whole number from 0 up.'],
    [`types=${'a,'.repeat(101)}`, 'types must have at most 100 values.'],
  ] as const) {
    assert.is(await codeOf(read(text)), `invalid_query: ${message}`, text)
  }
  assert.is(await codeOf(PLAIN_ROUTE.admit(authorise, request(''), { id: 'x' })), 'invalid_query: id must be digits.')
})

route.run()
