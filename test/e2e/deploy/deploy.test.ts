import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Declared, declaredMetrics, listSeriesNames } from '../../support/clients/metrics.ts'
import { suite } from '../../support/harness/suite.ts'
import { getJson, type Json, tempDir } from '../../support/harness/wait.ts'
import { readText, readYaml } from '../../support/repo/documents.ts'
import { ROOT, startGateway } from '../../support/servers/gateway.ts'

const deploy = suite('the dashboard and the alerts')

type Rule = { alert: string; expr: string; labels: { severity: string }; annotations: Record<string, string> }

const RULES: Rule[] = readYaml('deploy/alerts.yml').groups.flatMap(({ rules }: Json) => rules)
const DASHBOARD: Json = JSON.parse(readText('deploy/grafana-dashboard.json'))
const PANELS: Json[] = DASHBOARD.panels.filter(({ type }: Json) => type !== 'row')

const METRICS = declaredMetrics()
const SERIES = new Map<string, Declared>(
  [...METRICS.values()].flatMap((metric) => listSeriesNames(metric).map((name) => [name, metric] as const)),
)

/** Prometheus adds these to everything that it scrapes. */
const SCRAPED = ['instance', 'job']
const LABEL_VALUES: Record<string, RegExp> = {
  check: /^standby$/,
  component: /^(consumer|publisher|store_write|store_read|jwks|gateway)$/,
  job: /^deepsoc-gateway$/,
  reason: /^(too_slow|cursor_ahead)$/,
}

/** Returns the series in an expression with their label matchers. */
const selectorsOf = (expr: string): { name: string; matchers: { label: string; value: string }[] }[] =>
  [...expr.matchAll(/\b((?:gateway|process|nodejs)_\w+|up)\b(?:\{([^}]*)\})?/g)].map(([, name, inside = '']) => ({
    name: name!,
    matchers: [...inside.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)].map(([, label, value]) => ({
      label: label!,
      value: value!,
    })),
  }))

const labelsOf = (name: string): string[] => {
  if (name === 'up') return SCRAPED
  const { type, labels } = SERIES.get(name)!
  return [...SCRAPED, ...labels, ...(type === 'histogram' && name.endsWith('_bucket') ? ['le'] : [])]
}

/** Throws unless all series and labels of an expression exist. */
const check = (expr: string, where: string): void => {
  for (const [open, close] of ['()', '{}', '[]']) {
    assert.is(expr.split(open!).length, expr.split(close!).length, `${where}: ${expr}`)
  }
  const selectors = selectorsOf(expr)
  assert.ok(selectors.length > 0, `${where} asks for nothing: ${expr}`)
  const known = new Set<string>()
  for (const { name, matchers } of selectors) {
    assert.ok(name === 'up' || SERIES.has(name), `${where}: there is no ${name}`)
    for (const label of labelsOf(name)) known.add(label)
    for (const { label, value } of matchers) {
      assert.ok(labelsOf(name).includes(label), `${where}: ${name} has no label ${label}`)
      if (value.startsWith('$')) continue
      for (const one of value.split('|')) assert.match(one, LABEL_VALUES[label]!, `${where}: ${label}`)
    }
  }
  for (const [, list] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
    for (const label of list!.split(',').map((text) => text.trim())) {
      assert.ok(known.has(label), `${where}: nothing in it has the label ${label}: ${expr}`)
    }
  }
  for (const [, inside] of expr.matchAll(/\b(?:rate|increase)\(([^[]+)\[/g)) {
    const { name } = selectorsOf(inside!)[0]!
    assert.match(SERIES.get(name)!.type, /counter|histogram/, `${where}: ${name} is no counter`)
  }
}

deploy('every alert uses existing metrics and labels, and states which series it names', () => {
  assert.ok(RULES.length >= 15)
  for (const { alert, expr, labels, annotations } of RULES) {
    check(expr, alert)
    assert.match(labels.severity, /^(critical|warning)$/, alert)
    const by = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) =>
      list!.split(',').map((text) => text.trim()),
    )
    const all = by.length > 0 ? by : /\bmax\(/.test(expr) ? [] : selectorsOf(expr).flatMap(({ name }) => labelsOf(name))
    for (const [, label] of annotations.summary!.matchAll(/\$labels\.(\w+)/g)) {
      assert.ok(all.includes(label!), `${alert} has no label ${label} left`)
    }
    // A sum over all instances has no instance to name.
    if (/histogram_quantile/.test(expr) && !by.includes('instance')) assert.not.match(annotations.summary!, 'instance')
  }
})

deploy('every alert has its instructions in OPERATIONS, and no other entry exists', () => {
  const section = readText('docs/OPERATIONS.md').split('## Alerts')[1]!.split('\n## ')[0]!
  const lines = [...section.matchAll(/^\| `(Gateway\w+)` \| (.{20,}) \| (.{20,}) \|$/gm)].map(([, name]) => name!)
  assert.equal(lines.sort(), RULES.map(({ alert }) => alert).sort())
  for (const { alert, annotations } of RULES) assert.is(annotations.runbook, 'docs/OPERATIONS.md#alerts', alert)
})

deploy('every panel uses existing metrics and labels, and every metric is on a panel', () => {
  const shown = new Set<string>()
  for (const { title, targets } of PANELS) {
    assert.ok(targets.length > 0, title)
    for (const { expr } of targets) {
      check(expr, title)
      for (const { name } of selectorsOf(expr)) shown.add(SERIES.get(name)!.name)
    }
  }
  assert.equal([...shown].sort(), [...METRICS.keys()].sort())
})

deploy('the panels do not overlap, and each has a unique id and a selectable source', () => {
  const ids = DASHBOARD.panels.map(({ id }: Json) => id)
  assert.is(new Set(ids).size, ids.length)
  const taken = new Set<string>()
  for (const { gridPos, title } of DASHBOARD.panels) {
    assert.ok(gridPos.x + gridPos.w <= 24, title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.not.ok(taken.has(`${x} ${y}`), `${title} lies upon another`)
        taken.add(`${x} ${y}`)
      }
    }
  }
  const variables = new Set(DASHBOARD.templating.list.map(({ name }: Json) => name))
  const used = [...readText('deploy/grafana-dashboard.json').matchAll(/\$\{?(\w+)\}?/g)].map(([, name]) => name!)
  for (const name of used) assert.ok(variables.has(name) || /^__/.test(name), name)
})

deploy('the checker detects missing metrics', () => {
  for (const expr of [
    'gateway_nothing > 0',
    'gateway_ready{reason="x"} == 0',
    'sum by (reason) (gateway_ready)',
    'rate(gateway_ready[5m]) > 0',
    'increase(gateway_streams_closed_total{reason="tooslow"}[5m]) > 0',
    'sum(gateway_ready',
    'vector(1)',
  ]) {
    let seen = false
    try {
      check(expr, 'a rule')
    } catch {
      seen = true
    }
    assert.ok(seen, expr)
  }
})

deploy('a running gateway serves the declared metrics, named by Prometheus conventions', async () => {
  const gateway = await startGateway()
  const { text } = await getJson(`${gateway.url}/metrics`)
  await gateway.dispose()
  const shown = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!] as const)
  // Only if a certificate is served.
  const always = [...METRICS.keys()].filter((name) => !name.includes('certificate'))
  assert.equal(shown.map(([name]) => name).sort(), always.sort())
  for (const [name, type] of shown) {
    assert.match(name, /^(gateway|process|nodejs)_[a-z_]+$/)
    assert.is(name.endsWith('_total'), type === 'counter', name)
    assert.not.match(name, /_(ms|milliseconds|kb|mb|minutes|percent)(_|$)/)
  }
})

const COMPOSE_FILES = [
  'compose.yaml',
  'compose.postgres.yaml',
  'deploy/compose-cluster.yaml',
  'deploy/edge.compose.yaml',
]

for (const file of COMPOSE_FILES) {
  deploy(`${file} is open to this machine alone, and to no page that points its own name here`, () => {
    const { services } = readYaml(file)
    for (const [name, { ports = [], environment = {} }] of Object.entries<Json>(services)) {
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, name)
      if (String(environment.AUTH).includes('none')) assert.match(environment.ALLOWED_HOSTS, /:-localhost\}$/, name)
    }
    assert.ok(Object.values<Json>(services).some(({ environment }) => environment?.ALLOWED_HOSTS !== undefined))
    const files = Object.values<Json>(services)
      .flatMap(({ volumes = [] }) => volumes.map((volume: string) => volume.split(':')[0]))
      .filter((path) => path.startsWith('.'))
    for (const path of files) assert.ok(existsSync(join(ROOT, dirname(file), path)), `${file}: ${path}`)
  })
}

deploy('a standby whose first copy was killed copies again, and starts on a complete copy only', () => {
  const dir = tempDir()
  const [bin, data] = [join(dir, 'bin'), join(dir, 'data')]
  for (const folder of [bin, data]) mkdirSync(folder)
  const program = (name: string, lines: string[]): void =>
    writeFileSync(join(bin, name), ['#!/bin/sh', ...lines].join('\n'), { mode: 0o755 })
  program('pg_basebackup', [
    'while [ "$1" != --pgdata ]; do shift; done',
    '[ -z "$(ls -A "$2" 2>/dev/null)" ] || exit 1',
    'mkdir -p "$2" && echo 17 > "$2/PG_VERSION"',
    '[ -z "$KILLED" ] || kill -9 $$',
    'touch "$2/complete"',
  ])
  program('postgres', ['ls "$PGDATA"'])
  const start = (env: NodeJS.ProcessEnv) =>
    spawnSync('sh', [join(ROOT, 'deploy/cluster/standby.sh')], {
      env: { PATH: `${bin}:${process.env.PATH}`, PGDATA: data, ...env },
      encoding: 'utf8',
    })
  assert.is.not(start({ KILLED: '1' }).status, 0)
  for (let n = 0; n < 2; n++) {
    const { status, stdout, stderr } = start({})
    assert.equal([status, stdout], [0, 'PG_VERSION\ncomplete\n'], stderr)
  }
})

deploy.run()
