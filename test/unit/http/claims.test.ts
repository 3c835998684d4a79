import * as assert from 'uvu/assert'
import { type ClaimDefaults, type Principal, toPrincipal } from '../../../src/http/auth/claims.ts'
import { suite } from '../../support/harness/suite.ts'

const NONE: ClaimDefaults = { defaultEvents: null, defaultScope: null }

const principalOf = (claims: Record<string, unknown>, defaults: Partial<ClaimDefaults> = {}): Principal =>
  toPrincipal('a token', { exp: 1, ...claims }, { ...NONE, ...defaults })

const claims = suite('the claims of a token')

claims('chat is the narrower of the two scopes that allow publishing', () => {
  const scopeOf = (scope: unknown) => principalOf({ scope }).publishScope
  assert.is(scopeOf('chat'), 'chat')
  assert.is(scopeOf(['admin', 'chat']), 'chat')
  assert.is(scopeOf('chat publish'), 'publish')
  assert.is(scopeOf('admin'), null)
  assert.is(scopeOf('chats'), null)
})

claims('a person writes only to the events of the token, and an agent without events to all', () => {
  const eventsOf = (token: Record<string, unknown>, defaults?: Partial<ClaimDefaults>) =>
    principalOf(token, defaults).publishableEvents
  assert.equal(eventsOf({ scope: 'chat' }), [])
  assert.equal(eventsOf({ scope: 'publish' }), '*')
  assert.equal(eventsOf({ scope: 'chat', events: ['a'] }), ['a'])
  assert.equal(eventsOf({ scope: 'chat' }, { defaultEvents: '*' }), '*')
  assert.equal(eventsOf({ events: ['a'] }), [])
})

claims('the default scope applies to a token without a scope claim only', () => {
  const chat: Partial<ClaimDefaults> = { defaultEvents: '*', defaultScope: 'chat' }
  const given = principalOf({}, chat)
  assert.is(given.publishScope, 'chat')
  assert.is(given.publishableEvents, '*')
  assert.is(given.admin, false)
  assert.is(principalOf({ scope: null }, chat).publishScope, 'chat')
  assert.is(principalOf({}, { defaultScope: 'publish' }).publishScope, 'publish')
  for (const scope of ['', 'read', 'admin', []]) assert.is(principalOf({ scope }, chat).publishScope, null)
  assert.is(principalOf({}).publishScope, null)
})

claims('the text * opens all events; in a list it is the event of that name', () => {
  const eventsOf = (events: unknown) => principalOf({ events, scope: 'publish' })
  assert.equal([eventsOf('*').events, eventsOf('*').publishableEvents], ['*', '*'])
  assert.equal([eventsOf(['*']).events, eventsOf(['*']).publishableEvents], [['*'], ['*']])
  assert.equal(eventsOf(['a', '*']).events, ['a', '*'])
})

claims('the display name is the claim name, otherwise preferred_username', () => {
  const nameOf = (token: Record<string, unknown>) => principalOf(token).name
  assert.is(nameOf({ name: 'Ann Lee', preferred_username: 'ann' }), 'Ann Lee')
  assert.is(nameOf({ preferred_username: 'ann' }), 'ann')
  assert.is(nameOf({ name: ' ', preferred_username: 'ann' }), 'ann')
  assert.is(nameOf({ name: 5 }), null)
  // Flask-JWT-Extended, as DeepSOC uses it.
  assert.is(nameOf({ sub: 'admin', fresh: false, type: 'access', jti: 'x', iat: 1, nbf: 1 }), null)
})

claims.run()
