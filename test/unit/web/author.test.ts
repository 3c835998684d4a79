import * as assert from 'uvu/assert'
import { authorKeys, canWrite, fixedName } from '../../../src/web/page/room/model/author.ts'
import { suite } from '../../support/harness/suite.ts'

const author = suite('the author of a message on the page')

author('needs a scope to write', () => {
  assert.is(canWrite({ scopes: ['chat'] }), true)
  assert.is(canWrite({ scopes: ['publish', 'admin'] }), true)
  assert.is(canWrite({ scopes: ['admin'] }), false)
  assert.is(canWrite({ scopes: [] }), false)
})

author('has the name of the token, otherwise its subject, and chooses one without a token', () => {
  assert.is(fixedName({ sub: 'ann', name: 'Ann Lee' }), 'Ann Lee')
  assert.is(fixedName({ sub: 'ann', name: null }), 'ann')
  assert.is(fixedName({ sub: null, name: 'Ann Lee' }), null)
})

author('is the subject of the token, whatever was typed', () => {
  const sender_type = 'user'
  assert.equal(authorKeys({ sub: 'ann', name: 'Ann Lee' }, '_captain'), {
    message_from: 'ann',
    user_id: 'ann',
    user_nickname: 'Ann Lee',
    sender_type,
  })
  assert.equal(authorKeys({ sub: null, name: null }, 'Bob'), { message_from: 'Bob', sender_type })
  assert.equal(authorKeys({ sub: null, name: null }, ''), { message_from: 'web', sender_type })
})

author.run()
