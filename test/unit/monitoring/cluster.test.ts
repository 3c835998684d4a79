import * as assert from 'uvu/assert'
import { checkCluster } from '../../../src/monitoring/cluster-checks.ts'
import {
  type CheckedDatabase,
  type ClusterGateway,
  type GatewayStatus,
  mergeProcesses,
  parseGatewayStatus,
} from '../../../src/monitoring/cluster-report.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { QUIET } from '../../support/clients/metrics.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the report of a cluster')

const STATUS: GatewayStatus = {
  host: 'a',
  port: 80,
  pid: 1,
  version: '1.0.0',
  schema_version: 5,
  ready: true,
  consumes: true,
  received_ms: null,
  clock_offset_ms: 0,
  retention_days: 30,
  retention_messages_per_event: null,
  readers: 1,
}

const seen = (over: Partial<GatewayStatus>, age_ms = 1_000) => ({
  status: { ...STATUS, ...over },
  age_ms,
  own: age_ms === 0,
})

const DATABASE: CheckedDatabase = {
  schema_version: 5,
  timeline: 2,
  synchronous_standby_names: 'db2',
  standbys: 1,
  synchronous_standbys: 1,
  servers: [
    { address: 'db1:5432', state: 'primary' },
    { address: 'db2:5432', state: 'standby' },
  ],
}

const TWO = mergeProcesses([seen({ received_ms: 10 }, 0), seen({ host: 'b', pid: 2 })])
const codesOf = (gateways: readonly ClusterGateway[], database: CheckedDatabase | null = DATABASE): string[] =>
  checkCluster(gateways, database, null).map(({ level, code }) => (level === 'ok' ? 'ok' : code))
/** The codes with one failure in the place of the given check. */
const failing = (check: number, code: string): string[] =>
  Array.from({ length: 7 }, (_, n) => (n === check ? code : 'ok'))

test('a safe cluster passes every check, and each fault fails its own', () => {
  assert.equal(codesOf(TWO), failing(-1, ''))
  const [one, other] = TWO as [ClusterGateway, ClusterGateway]
  const withOther = (over: Partial<ClusterGateway>) => [one, { ...other, ...over }]
  const split = [{ address: 'db3:5432', state: 'old_primary' }, ...DATABASE.servers]
  const cases: [
    code: string,
    check: number,
    gateways: readonly ClusterGateway[],
    database?: Partial<CheckedDatabase>,
  ][] = [
    ['several_primaries', 0, TWO, { servers: split }],
    ['standby_not_configured', 1, TWO, { synchronous_standby_names: '' }],
    ['standby_hidden', 1, TWO, { synchronous_standbys: null }],
    ['standby_missing', 1, TWO, { synchronous_standbys: 0 }],
    ['several_consumers', 2, withOther({ consumer: 'active' })],
    ['no_consumer', 2, TWO.map((gateway) => ({ ...gateway, consumer: 'none' }))],
    ['gateways_gone', 3, withOther({ live: false })],
    ['gateways_not_ready', 3, withOther({ ready: false })],
    ['clocks_differ', 4, withOther({ clock_offset_seconds: -6 })],
    ['versions_behind', 5, withOther({ schema_version: 4 })],
    ['versions_incompatible', 5, withOther({ schema_version: 3 })],
    ['retention_differs', 6, withOther({ retention_days: null })],
  ]
  for (const [code, check, gateways, database] of cases) {
    const checks = checkCluster(gateways, { ...DATABASE, ...database }, null)
    assert.equal(codesOf(gateways, { ...DATABASE, ...database }), failing(check, code), code)
    const { hint, text, names } = checks[check]!
    assert.ok(hint.length > 0 && text.length > 0 && (names.length > 0 || /standby|no_consumer/.test(code)), code)
  }
  const [database] = checkCluster(TWO, DATABASE, { message: 'refused', hint: 'start it' })
  assert.equal([database?.code, database?.text, database?.hint], ['database_failed', 'refused', 'start it'])
  assert.equal(codesOf([one], null), ['ok', 'ok', 'ok'], 'SQLite')
})

test('workers are one gateway, one that was started again replaces the one before, and others are gone', () => {
  const gateways = mergeProcesses([
    seen({ readers: 2 }, 0),
    seen({ readers: 3, ready: false, clock_offset_ms: -9_000 }),
    seen({ pid: 7 }, 60_000),
    seen({ host: 'b', pid: 2 }, 9_000),
    seen({ host: 'c', pid: 3 }, 11_000),
    seen({ host: 'c', pid: 2 }, 40_000),
  ])
  assert.equal(
    gateways.map(({ gateway, own, live, ready, workers, readers, last_seen_seconds: age }) =>
      [gateway, own, live, ready, workers, readers, age].join(' '),
    ),
    ['a:80 true true false 2 5 0', 'b:80 false true true 1 1 9', 'c:80 false false false 0 0 11'],
  )
  assert.is(gateways[0]!.clock_offset_seconds, -9)
})

test('the active consumer is the gateway that received the last message', () => {
  const consumers = (...processes: ReturnType<typeof seen>[]) =>
    mergeProcesses(processes).map(({ consumer }) => consumer)
  const of = (host: string, received_ms: number | null, age = 1_000) => seen({ host, received_ms }, age)
  assert.equal(consumers(of('a', 600_000), of('b', 90_000), of('c', null)), ['waiting', 'active', 'waiting'])
  // A row that is older by a second.
  assert.equal(consumers(of('a', 60_000, 2_000), of('b', 60_500)), ['waiting', 'active'])
  assert.equal(consumers(of('a', 100), of('b', 4_000)), ['active', 'active'], 'both receive')
  assert.equal(consumers(of('a', null), of('b', null)), ['waiting', 'waiting'], 'not known yet')
  assert.equal(consumers(of('a', null), seen({ host: 'b', consumes: false })), ['active', 'none'])
  assert.equal(consumers(seen({ consumes: null })), [null], 'no broker')
  assert.equal(consumers(of('a', 90_000, 0), of('b', 10, 60_000)), ['active', 'none'], 'b is gone')
})

test('a row of another version is shown with what it has', () => {
  const status = parseGatewayStatus('{"host":"z","port":1,"version":"9.0.0","later":{}}')
  assert.equal([status?.host, status?.version, status?.readers, status?.ready], ['z', '9.0.0', 0, false])
  assert.is(parseGatewayStatus('{"name":"z"}'), null)
})

test('is made once for all metrics of a scrape', async () => {
  let made = 0
  const cluster = (): null => {
    made++
    return null
  }
  const { registry } = createMetrics({ ...QUIET, cluster })
  await registry.metrics()
  assert.is(made, 1)
  await registry.getMetricsAsJSON()
  assert.is(made, 2, 'a later one has a report of its own')
})

test.run()
