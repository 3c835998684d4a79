// unit
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { findTiming, type Rule } from '../support/repo/timing-rules.ts'
import { ROOT } from '../support/servers/gateway.ts'

const TESTS = join(ROOT, 'test')

const CLOCK = 'compares clocks, not speed'

/** Accepted exceptions by rule and file, with their number and reason. Remove an entry once its file needs it no longer. */
const KNOWN: Readonly<Record<string, Readonly<Partial<Record<Rule, readonly [count: number, reason: string]>>>>> = {
  'e2e/page/room-connection.test.ts': { 'fixed wait': [1, 'the pace of a publisher'] },
  'integration/store/postgres.test.ts': { 'bare limit': [2, 'options of the store'] },
  'unit/publisher/message.test.ts': { 'upper limit': [1, CLOCK] },
  'integration/cluster/worker-failures.test.ts': {
    'fixed wait': [1, 'how long processes are stopped'],
  },
  'integration/http/messages.test.ts': { 'upper limit': [1, CLOCK] },
  'integration/monitoring/metrics.test.ts': { 'upper limit': [1, CLOCK] },
  'integration/streams/stream.test.ts': { 'upper limit': [1, CLOCK] },
  'resilience/kill.test.ts': { 'fixed wait': [1, 'a random moment of a start, by the length of the one before'] },
  'support/cluster/rounds.ts': { 'fixed wait': [1, 'how long a fault goes on'] },
  'support/clients/attacker.ts': { 'fixed wait': [2, 'the pace of slow requests'] },
  'support/clients/load.ts': { 'fixed wait': [1, 'the pace of a publisher'] },
  'support/resilience/soak.ts': { 'fixed wait': [2, 'the pace of a soak, and how long it runs'] },
  'support/resilience/sources.ts': { 'fixed wait': [1, 'the pace of a publisher'] },
  'support/clients/seam-client.ts': { 'fixed wait': [1, 'how long a visitor stays'] },
  'support/clients/sse.ts': { 'fixed wait': [1, 'the delay of a reconnect, as a browser has it'] },
  'support/harness/wait.ts': { 'fixed wait': [1, 'between two looks of the one loop that waits'] },
  'support/stages/entries.ts': { 'fixed wait': [1, 'between two tries'] },
  'unit/cli/demo-script.test.ts': { 'upper limit': [1, 'the times of a script'] },
  'unit/config/config.test.ts': { 'bare limit': [1, 'a value of the configuration'] },
  'unit/config/database.test.ts': { 'bare limit': [2, 'values of the configuration'] },
}

const timing = suite('tests and the speed of the machine')

timing(
  'no test waits for a fixed time, has an upper limit of time, or a limit that ignores TEST_TIMEOUT_FACTOR',
  () => {
    const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
    // Neither is a test: one takes pictures, the other contains the examples below.
    const others = ['pictures.ts', 'repo/timing.test.ts']
    const tests = files.filter((path) => !others.includes(path))
    assert.ok(tests.length > 100, 'the files were found')
    const wrong = tests.flatMap((path) => {
      const findings = findTiming(readFileSync(join(TESTS, path), 'utf8'))
      return (['fixed wait', 'upper limit', 'bare limit'] as const).flatMap((rule) => {
        const found = findings.filter((finding) => finding.rule === rule)
        const [known] = KNOWN[path]?.[rule] ?? [0]
        if (found.length === known) return []
        return [
          `${path}: ${rule}: ${found.length}, not ${known}`,
          ...found.map(({ line, text }) => `  ${line}: ${text}`),
        ]
      })
    })
    assert.equal(wrong, [], 'wait for a condition, measure in bench/, or use WAIT_MS of test/support/harness/limits.ts')
    assert.equal(
      Object.keys(KNOWN).filter((path) => !tests.includes(path)),
      [],
      'the list has no file that is gone',
    )
  },
)

const EXAMPLES: Readonly<Record<Rule | 'none', readonly string[]>> = {
  'fixed wait': [
    'await sleep(500)',
    'await sleep(Math.random() * LIFE_MS)',
    'await delay(1_000)',
    'await new Promise((resolve) => setTimeout(resolve, 100))',
    'await page.waitForTimeout(250)',
    'await until(() => Date.now() - before > 3_000)',
    'while (performance.now() < end) {',
  ],
  'upper limit': [
    'assert.ok(performance.now() - from < 500)',
    `assert.ok(ms < 10_000, 'quick')`,
    'assert.ok(took <= QUICK_MS)',
    'assert.ok(Math.min(...times) < 1_000, times.join())',
    'assert.ok(span.tookMs >= 0 && span.tookMs < 60_000)',
    'assert.ok(ended.ms < SHUTDOWN_SECONDS * 1_000 + SLACK_MS)',
  ],
  'bare limit': [
    `await page.waitForSelector('#x', { timeout: 60_000 })`,
    `await until(full, { timeoutMs: 60_000 })`,
    'new Publisher({ sendTimeoutMs: 30_000 })',
    `setTimeout(() => reject(new Error('late')), 20_000)`,
    `await within(gone, 'the end', 60_000)`,
    'context.setDefaultTimeout(30_000)',
    'fetch(url, { signal: AbortSignal.timeout(10_000) })',
  ],
  none: [
    'await sleep(20)',
    'stage.browser.sleep(3_600_000)',
    '// sleep(500) is not for tests',
    'await until(() => seen.length > 3, { everyMs: 100 })',
    'assert.ok(retry >= 1_000)',
    'assert.ok(bytes < 5_000_000)',
    'new Publisher({ sendTimeoutMs: WAIT_MS })',
    'await publisher.close({ timeoutMs: 200 })',
    `await within(gone, 'the end', limit(60_000))`,
    'for (const ms of times) pass(ms)',
  ],
}

for (const [rule, lines] of Object.entries(EXAMPLES)) {
  timing(`the rules find ${rule === 'none' ? 'nothing where nothing is wrong' : `every ${rule}`}`, () => {
    for (const line of lines) {
      assert.equal(
        findTiming(line).map((finding) => finding.rule),
        rule === 'none' ? [] : [rule],
        line,
      )
    }
  })
}

timing.run()
