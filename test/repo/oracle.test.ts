// unit
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { type Clause, checkOutcome, type Outcome } from '../support/resilience/oracle.ts'
import { FAULT_KINDS } from '../support/resilience/soak-faults.ts'
import { createPlan, type PlannedFault } from '../support/resilience/soak-plan.ts'

const oracle = suite('the oracle of the resilience tests')

const message = (n: number, event_id = 'a') => ({ event_id, message_id: `${event_id}-${n}` })

/** A run without a fault: three messages, one of them invalid, and two readers. */
const CLEAN: Outcome = {
  confirmed: [message(1), message(2), message(1, 'b')],
  invalid: [{ ...message(3), sends: 2 }],
  rows: [
    { db_id: 1, ...message(1) },
    { db_id: 2, ...message(1, 'b') },
    { db_id: 5, ...message(2) },
  ],
  quarantined: ['a-3', 'a-3'],
  readers: [
    { name: 'all', events: null, cursor: 0, ids: [1, 2, 5], resets: 0 },
    { name: 'late', events: ['a'], cursor: 1, ids: [5], resets: 0 },
  ],
  integrity: 'ok',
}

const [ALL, LATE] = CLEAN.readers as [Outcome['readers'][0], Outcome['readers'][0]]
const rows = (...ids: number[]): Outcome['rows'] => CLEAN.rows.filter(({ db_id }) => ids.includes(db_id))
const clauses = (changed: Partial<Outcome>): Clause[] => [
  ...new Set(checkOutcome({ ...CLEAN, ...changed }).map(({ clause }) => clause)),
]

oracle('accepts a run in which everything arrived once', () => assert.equal(checkOutcome(CLEAN), []))

const FAULTS: readonly [what: string, clause: Clause, changed: Partial<Outcome>][] = [
  ['a confirmed message without a row', 'lost', { rows: rows(1, 2), readers: [] }],
  ['an invalid message that is not quarantined', 'lost', { quarantined: [] }],
  ['two rows of one message', 'duplicate', { rows: [...CLEAN.rows, { db_id: 6, ...message(1) }], readers: [] }],
  ['more quarantined copies than were sent', 'duplicate', { quarantined: ['a-3', 'a-3', 'a-3'] }],
  ['a row that was never confirmed', 'unknown', { rows: [...CLEAN.rows, { db_id: 6, ...message(9) }], readers: [] }],
  ['a valid message in quarantine', 'unknown', { quarantined: ['a-3', 'a-1'] }],
  [
    'rows of an event in another order than sent',
    'order',
    {
      rows: [
        { db_id: 1, ...message(2) },
        { db_id: 2, ...message(1, 'b') },
        { db_id: 5, ...message(1) },
      ],
    },
  ],
  ['a reader that missed a row', 'reader', { readers: [{ ...ALL, ids: [1, 5] }] }],
  ['a reader that received a row twice', 'reader', { readers: [{ ...ALL, ids: [1, 2, 2, 5] }] }],
  ['a reader whose db_ids fall', 'reader', { readers: [{ ...ALL, ids: [2, 1, 5] }] }],
  ['a reader that received a row before its cursor', 'reader', { readers: [{ ...LATE, ids: [1, 5] }] }],
  ['a reader that received a row of another event', 'reader', { readers: [{ ...LATE, ids: [2, 5] }] }],
  ['a reader that was reset', 'reader', { readers: [{ ...ALL, resets: 1 }] }],
  ['a reader that gave up', 'reader', { readers: [{ ...ALL, failed: '503' }] }],
  ['a damaged database', 'integrity', { integrity: 'row 1 missing from index' }],
]

for (const [what, clause, changed] of FAULTS) {
  oracle(`finds ${what}`, () => assert.equal(clauses(changed), [clause]))
}

const plan = suite('the plan of a soak')

const firstFaults = (seed: number): PlannedFault[] =>
  Array.from(
    { length: 40 },
    (
      (faults) => () =>
        faults.next().value
    )(createPlan(seed, FAULT_KINDS).faults),
  )

plan('is the same for the same seed, and another one for another', () => {
  assert.equal(firstFaults(7), firstFaults(7))
  assert.not.equal(firstFaults(7), firstFaults(8))
})

plan('has each kind of fault before any comes again', () => {
  const kinds = firstFaults(7).map(({ kind }) => kind)
  assert.equal(kinds.slice(0, FAULT_KINDS.length).sort(), [...FAULT_KINDS].sort())
})

plan('has one worker for some seeds, and three for others', () => {
  const workers = Array.from({ length: 20 }, (_, seed) => createPlan(seed, FAULT_KINDS).workers)
  assert.equal([...new Set(workers)].sort(), [1, 3])
})

oracle.run()
plan.run()
