import * as assert from 'uvu/assert'
import { Coordinator } from '../../../src/cluster/coordinator.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { EndedSessions } from '../../../src/http/auth/ended-sessions.ts'
import { Tickets } from '../../../src/http/auth/tickets.ts'
import { suite } from '../../support/harness/suite.ts'

const NOBODY = {
  subject: null,
  tokenId: '',
  events: [],
  name: null,
  publishScope: null,
  publishableEvents: [],
  admin: false,
  edge: false,
  hasSession: false,
  issuedAt: null,
  expiresAt: Number.POSITIVE_INFINITY,
}

const tickets = suite('tickets')

tickets('of one token are bounded, and those of others are not', async () => {
  const coordinator = new Coordinator()
  let now = 0
  const own = new Tickets(async (request) => coordinator.handle(request, 0, now), new EndedSessions())
  const issue = (tokenId: string): Promise<string> =>
    own.issue({ ...NOBODY, tokenId }).then(
      () => 'issued',
      ({ code }: GatewayError) => code,
    )
  for (let n = 0; n < 1_000; n++) assert.is(await issue('greedy'), 'issued')
  assert.is(await issue('greedy'), 'too_many_tickets')
  assert.is(await issue('modest'), 'issued')
  // As many as expire in the meantime.
  now += 300
  for (let n = 0; n < 10; n++) assert.is(await issue('greedy'), 'issued')
  assert.is(await issue('greedy'), 'too_many_tickets')
})

tickets.run()
