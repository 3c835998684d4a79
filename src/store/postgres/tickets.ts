import type { TicketStore } from '../store.ts'
import type { Pool } from './pool.ts'
import type { Prepared } from './queries.ts'
import { SERVER_TIME } from './server/server-clock.ts'

// By the server's clock: the clocks of the hosts can differ by more than the lifetime of a ticket.
const PUT_TICKET: Prepared = {
  name: 'keep_ticket',
  text: `WITH over AS (
  DELETE FROM ticket WHERE id IN (SELECT id FROM ticket WHERE until < ${SERVER_TIME} LIMIT 100 FOR UPDATE SKIP LOCKED)
) INSERT INTO ticket (id, value, until) VALUES ($1, $2, ${SERVER_TIME} + $3::bigint)`,
}

const TAKE_TICKET: Prepared = {
  name: 'take_ticket',
  text: `DELETE FROM ticket WHERE id = $1 RETURNING CASE WHEN until > ${SERVER_TIME} THEN value END AS value`,
}

/** Creates a ticket store shared by all hosts: only the first call of `take` returns the value. */
export const createTicketStore = (pool: Pool): TicketStore => ({
  put: (id, value, ms) =>
    pool.withConnection(async (client) => {
      await client.query({ ...PUT_TICKET, values: [id, value, ms] })
    }),
  take: (id) =>
    pool.withConnection(async (client) => {
      const { rows } = await client.query<{ value: string | null }>({ ...TAKE_TICKET, values: [id] })
      return rows[0]?.value ?? null
    }),
})
