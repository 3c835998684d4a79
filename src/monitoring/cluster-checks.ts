import type { CheckedDatabase, ClusterCheck, ClusterGateway } from './cluster-report.ts'

/** An error of the store: it fails the check of the database. */
export interface DatabaseFault {
  readonly message: string
  readonly hint: string
}

/** A larger difference between the clocks of a host and of the database fails, in seconds. */
const MAX_CLOCK_OFFSET = 5

type Outcome = Omit<ClusterCheck, 'check' | 'names' | 'hint'> & Partial<Pick<ClusterCheck, 'names' | 'hint'>>

const ok = (code: string, text: string, names: readonly string[] = []): Outcome => ({ level: 'ok', code, text, names })
const failed = (code: string, names: readonly string[], text: string, hint: string): Outcome => ({
  level: 'failed',
  code,
  text,
  hint,
  names,
})
const warning = (...args: Parameters<typeof failed>): Outcome => ({ ...failed(...args), level: 'warning' })

const listGatewayNames = (gateways: readonly ClusterGateway[]): string[] => gateways.map(({ gateway }) => gateway)
const join = (names: readonly string[]): string => names.join(', ')

const checkDatabase = ({ servers, timeline }: CheckedDatabase): Outcome => {
  const old = servers.filter(({ state }) => state === 'old_primary').map(({ address }) => address)
  const primaries = servers.filter(({ state }) => state === 'primary').map(({ address }) => address)
  const known = timeline === null ? [] : [String(timeline)]
  const text = timeline === null ? 'One primary.' : `One primary, timeline ${timeline}.`
  if (old.length === 0) return ok('one_primary', text, known)
  return failed(
    'several_primaries',
    [...old, ...primaries],
    `An old primary accepts writes beside the new one: ${join(old)}.`,
    'Stop it. What clients have written to it since the failover is on no other server. Then make it a standby again with pg_rewind or pg_basebackup.',
  )
}

const checkStandby = ({ synchronous_standby_names, synchronous_standbys }: CheckedDatabase): Outcome => {
  if (synchronous_standby_names.trim() === '') {
    return failed(
      'standby_not_configured',
      [],
      'No standby is synchronous: synchronous_standby_names is empty.',
      'A failover loses acknowledged messages. Set synchronous_standby_names in PostgreSQL, see docs/OPERATIONS.md#postgresql.',
    )
  }
  if (synchronous_standbys === null) {
    return failed(
      'standby_hidden',
      [],
      'The user of DATABASE_URL may not see the state of the standbys.',
      'As the owner of the server: GRANT pg_read_all_stats TO the user of DATABASE_URL.',
    )
  }
  const count = String(synchronous_standbys)
  if (synchronous_standbys > 0) return ok('standby_streams', `Synchronous standbys that stream: ${count}.`, [count])
  return failed(
    'standby_missing',
    [synchronous_standby_names],
    `No synchronous standby streams; synchronous_standby_names is ${synchronous_standby_names}.`,
    'Nothing is acknowledged until one does. Start the standby, and check its primary_conninfo and application_name.',
  )
}

const checkConsumer = (live: readonly ClusterGateway[]): Outcome => {
  if (live.every(({ consumer }) => consumer === null)) return ok('no_broker', 'No broker: messages arrive over HTTP.')
  const active = listGatewayNames(live.filter(({ consumer }) => consumer === 'active'))
  const waiting = live.filter(({ consumer }) => consumer === 'waiting').length
  if (active.length > 1) {
    return failed(
      'several_consumers',
      active,
      `Several gateways receive messages: ${join(active)}.`,
      'During a hand-over this passes within seconds. Otherwise check that RABBITMQ_URL, RABBITMQ_EXCHANGE and RABBITMQ_QUEUE are the same on all hosts.',
    )
  }
  if (active.length === 1) return ok('one_consumer', `Active: ${join(active)}. Waiting: ${waiting}.`, active)
  if (waiting > 0) return ok('consumer_unknown', `${waiting} gateways consume; none has received a message yet.`)
  return failed(
    'no_consumer',
    [],
    'No gateway consumes the queue.',
    'Messages wait in RabbitMQ. `deepsoc-gateway health` on each host names the cause.',
  )
}

const checkGateways = (gateways: readonly ClusterGateway[]): Outcome => {
  const gone = gateways.filter(({ live }) => !live)
  if (gone.length > 0) {
    const seen = gone.map(({ gateway, last_seen_seconds: age }) => `${gateway} (${Math.round(age)} s ago)`)
    return failed(
      'gateways_gone',
      listGatewayNames(gone),
      `Not seen any more: ${join(seen)}.`,
      'Start it again. If it was removed on purpose: it is forgotten 10 minutes after it was last seen.',
    )
  }
  const unready = listGatewayNames(gateways.filter(({ ready }) => !ready))
  if (unready.length === 0)
    return ok('gateways_ready', `Ready: ${join(listGatewayNames(gateways))}.`, listGatewayNames(gateways))
  return failed(
    'gateways_not_ready',
    unready,
    `Not ready: ${join(unready)}.`,
    '`deepsoc-gateway health` on that host names the cause.',
  )
}

const checkClocks = (live: readonly ClusterGateway[]): Outcome => {
  const off = live.filter(({ clock_offset_seconds: offset }) => Math.abs(offset) > MAX_CLOCK_OFFSET)
  if (off.length === 0) return ok('clocks_agree', `All within ${MAX_CLOCK_OFFSET} seconds of the database.`)
  const texts = off.map(({ gateway, clock_offset_seconds: offset }) => `${gateway} (${Math.round(offset)} s)`)
  return failed(
    'clocks_differ',
    texts,
    `The clock differs from that of the database: ${join(texts)}.`,
    'Synchronize the clocks, for example with chrony. The clock of the database decides about retention and revocations, that of the host about the expiry of tokens.',
  )
}

const checkVersions = (live: readonly ClusterGateway[], schemaVersion: number): Outcome => {
  const behind = (max: number) => listGatewayNames(live.filter((one) => schemaVersion - one.schema_version > max))
  const versions = [...new Set(live.map(({ version }) => version))].toSorted()
  const [unusable, old] = [behind(1), behind(0)]
  if (unusable.length > 0) {
    return failed(
      'versions_incompatible',
      unusable,
      `Too old for schema version ${schemaVersion}: ${join(unusable)}.`,
      'Upgrade it. It acknowledges nothing.',
    )
  }
  if (old.length === 0)
    return ok('versions_compatible', `${join(versions)}; schema version ${schemaVersion}.`, versions)
  return warning(
    'versions_behind',
    old,
    `One schema version behind: ${join(old)}.`,
    'It goes on, but cannot start again. Upgrade it next.',
  )
}

/** Describes the retention of a gateway: `30 days, 1000 per event`. */
const describeRetention = ({
  retention_days: days,
  retention_messages_per_event: messages,
}: Pick<ClusterGateway, 'retention_days' | 'retention_messages_per_event'>): string => {
  const parts = [days === null ? '' : `${days} days`, messages === null ? '' : `${messages} per event`]
  return parts.filter((part) => part !== '').join(', ') || 'unlimited'
}

const checkRetention = (live: readonly ClusterGateway[]): Outcome => {
  const texts = live.map((one) => `${one.gateway} (${describeRetention(one)})`)
  if (new Set(live.map(describeRetention)).size < 2) return ok('retention_agrees', `${describeRetention(live[0]!)}.`)
  return warning(
    'retention_differs',
    listGatewayNames(live),
    `RETENTION_DAYS or RETENTION_MESSAGES_PER_EVENT differ: ${join(texts)}.`,
    'The smallest limit deletes for all. Set them alike on all hosts.',
  )
}

/**
 * Checks whether a cluster is safe, in the order in which to mend it.
 *
 * @param database null for SQLite, which serves one host
 * @param fault why the database cannot be used; the state of other gateways is then not known, and not checked
 */
export const checkCluster = (
  gateways: readonly ClusterGateway[],
  database: CheckedDatabase | null,
  fault: DatabaseFault | null,
): ClusterCheck[] => {
  if (fault !== null) return [complete('database', failed('database_failed', [], fault.message, fault.hint))]
  const live = gateways.filter((one) => one.live)
  const checks: ClusterCheck[] = []
  if (database === null) checks.push(complete('database', ok('sqlite', 'SQLite, for this host alone.')))
  else checks.push(complete('database', checkDatabase(database)), complete('standby', checkStandby(database)))
  checks.push(complete('consumer', checkConsumer(live)), complete('gateways', checkGateways(gateways)))
  if (database === null) return checks
  return [
    ...checks,
    complete('clocks', checkClocks(live)),
    complete('versions', checkVersions(live, database.schema_version)),
    complete('retention', checkRetention(live)),
  ]
}

const complete = (check: ClusterCheck['check'], outcome: Outcome): ClusterCheck => ({
  check,
  hint: '',
  names: [],
  ...outcome,
})
