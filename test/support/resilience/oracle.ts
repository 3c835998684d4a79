import { checkIntegrity, messageRows, rejectedRows } from '../servers/database.ts'

/** A message that RabbitMQ or the gateway has confirmed. */
export type Confirmed = {
  readonly event_id: string
  readonly message_id: string
  /** How often it was sent until it was confirmed; without a number, once. */
  readonly sends?: number
  /** What happened at its confirmation, for the report of a loss. */
  readonly during?: string
}

export type StoredRow = { readonly db_id: number; readonly event_id: string; readonly message_id: string }

/** What a client was sent across all its connections. */
export type ReaderOutcome = {
  readonly name: string
  /** The events it follows; null for all. */
  readonly events: readonly string[] | null
  /** It started after this db_id. */
  readonly cursor: number
  /** The db_ids that it received, in order of arrival. */
  readonly ids: readonly number[]
  /** Number of `reset` events. */
  readonly resets: number
  /** Why it gave up, as an EventSource does. */
  readonly failed?: string | undefined
}

export type Outcome = {
  /** Valid messages, each event in the order in which it was sent. */
  readonly confirmed: readonly Confirmed[]
  /** Messages that belong into the quarantine. */
  readonly invalid: readonly Confirmed[]
  /** In the order of db_id. */
  readonly rows: readonly StoredRow[]
  /** The message_id of each quarantined message. */
  readonly quarantined: readonly string[]
  readonly readers: readonly ReaderOutcome[]
  /** Result of SQLite's integrity_check; with PostgreSQL `ok` if the standby has what the primary has. */
  readonly integrity: string
}

export type Clause = 'lost' | 'duplicate' | 'unknown' | 'order' | 'reader' | 'integrity'
export type Violation = { readonly clause: Clause; readonly text: string }

/** The message_id in a body that is not JSON. */
export const extractMessageId = (body: Buffer): string =>
  /"message_id":"([^"]+)"/.exec(body.toString())?.[1] ?? body.toString('hex')

/** Returns what a SQLite database holds; of all events, or of these. */
export const storedIn = (
  file: string,
  events: ReadonlySet<string> | null = null,
): Pick<Outcome, 'rows' | 'quarantined' | 'integrity'> => ({
  rows: messageRows(file).filter(({ event_id }) => events === null || events.has(event_id)),
  quarantined: rejectedRows(file).map(({ body }) => extractMessageId(body)),
  integrity: checkIntegrity(file),
})

const countBy = (ids: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

const toRowKey = ({ event_id, message_id }: Confirmed | StoredRow): string => `${event_id}/${message_id}`

/** The first five of a list, and its length. */
const some = (texts: readonly string[]): string => `${texts.length} (${texts.slice(0, 5).join(', ')})`

const storedOnce = ({ confirmed, invalid, rows, quarantined }: Outcome): Violation[] => {
  const found: Violation[] = []
  const report = (clause: Clause, what: string, texts: readonly string[]): void => {
    if (texts.length > 0) found.push({ clause, text: `${what}: ${some(texts)}` })
  }
  const lostText = (one: Confirmed): string => (one.during ? `${toRowKey(one)} during ${one.during}` : toRowKey(one))
  const stored = countBy(rows.map(toRowKey))
  const held = countBy(quarantined)
  report('lost', 'confirmed, but not stored', confirmed.filter((one) => !stored.has(toRowKey(one))).map(lostText))
  report(
    'lost',
    'confirmed, but not quarantined',
    invalid.filter(({ message_id }) => !held.has(message_id)).map(lostText),
  )
  report(
    'duplicate',
    'stored more than once',
    [...stored].filter(([, count]) => count > 1).map(([key, count]) => `${key} ${count} times`),
  )
  // An invalid message has no identity: each copy that was sent is quarantined.
  const sends = new Map(invalid.map(({ message_id, sends = 1 }) => [message_id, sends]))
  report(
    'duplicate',
    'quarantined more often than sent',
    [...held].filter(([id, count]) => count > (sends.get(id) ?? count)).map(([id, count]) => `${id} ${count} times`),
  )
  const known = new Set(confirmed.map(toRowKey))
  report(
    'unknown',
    'stored, but never confirmed',
    [...stored.keys()].filter((key) => !known.has(key)),
  )
  report(
    'unknown',
    'quarantined, but valid or never confirmed',
    [...held.keys()].filter((id) => !sends.has(id)),
  )
  return found
}

const inOrder = ({ confirmed, rows }: Outcome): Violation[] => {
  const sent = Map.groupBy(confirmed, ({ event_id }) => event_id)
  const stored = Map.groupBy(rows, ({ event_id }) => event_id)
  return [...sent].flatMap(([event_id, wanted]): Violation[] => {
    const actual = stored.get(event_id) ?? []
    const at = actual.findIndex(({ message_id }, index) => message_id !== wanted[index]?.message_id)
    if (at < 0) return []
    const text = `${event_id}: ${actual[at]!.message_id} stands in the place of ${wanted[at]?.message_id}`
    return [{ clause: 'order', text }]
  })
}

const readerSaw = (reader: ReaderOutcome, rows: readonly StoredRow[]): Violation[] => {
  const { name, events, cursor, ids, resets, failed } = reader
  const found: Violation[] = []
  const report = (text: string): void => void found.push({ clause: 'reader', text: `reader ${name}: ${text}` })
  const expected = rows
    .filter(({ db_id, event_id }) => db_id > cursor && (events === null || events.includes(event_id)))
    .map(({ db_id }) => db_id)
  const seen = new Set(ids)
  const missing = expected.filter((id) => !seen.has(id)).map(String)
  const wanted = new Set(expected)
  const strange = ids.filter((id) => !wanted.has(id)).map(String)
  const fallen = ids.findIndex((id, index) => id <= (ids[index - 1] ?? 0))
  if (failed !== undefined) report(`gave up: ${failed}`)
  if (missing.length > 0) report(`did not receive ${some(missing)} of ${expected.length}`)
  if (strange.length > 0) report(`received ${some(strange)}, which are not its messages`)
  if (fallen >= 0) report(`received ${ids[fallen]} after ${ids[fallen - 1]}`)
  if (resets > 0) report(`had ${resets} resets`)
  return found
}

/**
 * The oracle of every trial with faults: each confirmed message is one row, or in quarantine if it is invalid; the rows
 * of an event are in the order of its publisher; each reader received exactly the rows after its cursor, with rising
 * db_ids; the database is intact.
 * @returns what is wrong; an empty list if nothing is
 */
export const checkOutcome = (outcome: Outcome): Violation[] => {
  const stored = storedOnce(outcome)
  return [
    ...stored,
    // A loss or a duplicate moves everything after it.
    ...(stored.length === 0 ? inOrder(outcome) : []),
    ...outcome.readers.flatMap((reader) => readerSaw(reader, outcome.rows)),
    ...(outcome.integrity === 'ok' ? [] : [{ clause: 'integrity', text: outcome.integrity } as const]),
  ]
}
