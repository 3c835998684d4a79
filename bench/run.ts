/**
 * The bench: the same load on the gateway and on its peers, side by side. `node bench/run.ts --help` says how.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { catchingUp } from './series/catch-up.ts'
import { ceiling } from './series/ceiling.ts'
import { channels } from './series/channels.ts'
import { edges } from './series/edges.ts'
import { fanOut } from './series/fan-out.ts'
import { history } from './series/history.ts'
import { idle } from './series/idle.ts'
import { ingest } from './series/ingest.ts'
import { latency } from './series/latency.ts'
import { neverReads } from './series/never-read.ts'
import { posts } from './series/post.ts'
import { postgres } from './series/postgres.ts'
import { publish } from './series/publish.ts'
import { start } from './series/start.ts'
import { reconnectStorm } from './series/storm.ts'
import { checkText, saveRatios } from './support/check.ts'
import { Driver, Publisher } from './support/helpers.ts'
import { brokerOnDemand, versions } from './support/needs.ts'
import { type Chart, picture } from './support/plot.ts'
import { Progress } from './support/progress.ts'
import {
  computeMedians,
  computeVerdicts,
  figuresTable,
  type Row,
  type Verdict,
  verdictsTable,
} from './support/report.ts'
import { machineFacts, strangersMicros } from './support/stats.ts'
import type { Context, Sample, Series } from './support/types.ts'

const ALL: readonly Series[] = [
  ceiling,
  fanOut,
  channels,
  catchingUp,
  reconnectStorm,
  ingest,
  publish,
  latency,
  posts,
  idle,
  neverReads,
  history,
  start,
  postgres,
  edges,
]

const HELP = `node bench/run.ts [SERIES…] [--runs N] [--quick] [--check] [--save] [--long] [--out DIR] [--workers N] [--profile DIR]

  SERIES     ${ALL.map(({ name }) => name).join(', ')}; all of them if none is named
  --runs N   how often each series runs; medians are shown (5)
  --quick    small numbers and one run: whether everything works, in about a minute
  --check    one run of each series that has a target, and which ratios moved against bench/ratios.json
  --save     writes the ratios of this run to bench/ratios.json
  --long     history with ten million rows instead of one million; filling them takes minutes
  --out DIR  where results go (bench/results)
  --workers N  worker processes of the gateway (1; its peers have one in any case)
  --profile DIR  CPU profiles of the gateway go there; they cost some speed
`

/** Sockets of the greatest series, and some to spare. */
const MOST_FILES = 12_000

interface Outcome {
  readonly series: Series
  readonly runs: Sample[][]
  /** Cores that processes outside of the bench took, run by run: they disturb what is measured. */
  readonly others: number[]
  readonly rows: Row[]
  readonly verdicts: Verdict[]
}

/** The command line is wrong. */
class UsageError extends Error {}

const isUsage = (error: unknown): error is Error =>
  error instanceof UsageError || String((error as { code?: string }).code).startsWith('ERR_PARSE_ARGS')

const readArguments = () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      long: { type: 'boolean', default: false },
      out: { type: 'string', default: join(import.meta.dirname, 'results') },
      profile: { type: 'string' },
      workers: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  })
  const unknown = positionals.filter((name) => !ALL.some((series) => series.name === name))
  const runs = Number(values.runs)
  if (unknown.length > 0) throw new UsageError(`there is no series ${unknown.join(', ')}`)
  if (!Number.isInteger(runs) || runs < 1 || runs > 100) throw new UsageError('--runs takes a number from 1 to 100')
  if (values.quick && (values.check || values.save)) throw new UsageError('--quick is too small to say anything')
  const named = positionals.length === 0 ? ALL : ALL.filter(({ name }) => positionals.includes(name))
  const series = values.check ? named.filter(({ targets }) => targets.length > 0) : named
  const workers = Number(values.workers)
  if (!Number.isInteger(workers) || workers < 1) throw new UsageError('--workers takes a number from 1 up')
  return { ...values, series, workers, runs: values.quick || values.check ? 1 : runs }
}

const checkFiles = (quick: boolean): void => {
  const limit = Number(execFileSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }))
  if (!quick && limit < MOST_FILES) {
    throw new Error(`ulimit -n is ${limit}; 10,000 readers need ${MOST_FILES}: ulimit -n ${MOST_FILES}, then again`)
  }
}

const toCharts = ({ series, runs, rows }: Outcome): Chart[] =>
  series.plots.flatMap((plot): Chart[] => {
    if (plot.kind === 'lines') {
      const last = runs.at(-1) ?? []
      const lines = last.flatMap(({ peer, lines: all }) =>
        all?.[plot.line] === undefined ? [] : [{ name: peer, points: all[plot.line]! }],
      )
      return lines.length === 0 ? [] : [{ kind: 'lines', x: plot.x, y: plot.y, lines }]
    }
    const points = [...new Set(rows.map(({ point }) => point))]
    const groups = points.map((group) => ({
      group,
      bars: rows
        .filter((row) => row.point === group && row.values[plot.key] !== undefined)
        .map((row) => ({ name: row.peer, value: row.values[plot.key]! })),
    }))
    return [{ kind: 'bars', label: plot.label, groups: groups.filter(({ bars }) => bars.length > 0) }]
  })

/** The tables of one series. */
const renderSection = ({ series, rows, verdicts, others }: Outcome): string => {
  const disturbed = `Other processes took ${others.map((cores) => cores.toFixed(2)).join(', ')} cores meanwhile.`
  const tables = [figuresTable(series, rows), ...(verdicts.length > 0 ? [verdictsTable(verdicts)] : [])]
  return [`## ${series.title}`, ...tables, disturbed].join('\n\n')
}

const main = async (): Promise<number> => {
  const options = readArguments()
  if (options.help) {
    process.stdout.write(HELP)
    return 0
  }
  checkFiles(options.quick)
  const out = resolve(options.out)
  mkdirSync(out, { recursive: true })
  if (options.profile !== undefined) mkdirSync(resolve(options.profile), { recursive: true })
  const machine = machineFacts()
  const { quick, long, workers } = options
  const choices = { quick, long, workers }
  const broker = brokerOnDemand()
  const missing = new Map<string, string>()
  const outcomes: Outcome[] = []
  const progress = new Progress(options.series.length * options.runs)
  let broken = 0
  try {
    for (const series of options.series) {
      const runs: Sample[][] = []
      const others: number[] = []
      for (let run = 1; run <= options.runs; run++) {
        progress.step(`${series.name}, run ${run} of ${options.runs}`)
        // Helpers are fresh in each run as well: what one series leaves behind must not show in the next.
        const [driver, publisher] = [new Driver(), new Publisher()]
        const context: Context = {
          quick: options.quick,
          long: options.long,
          driver,
          publisher,
          broker: broker.get,
          say: (text) => progress.say(text),
          missing: (peer, why) => missing.set(`${series.name}: ${peer}`, why),
          workers: options.workers,
          profileDir: options.profile === undefined ? null : resolve(options.profile),
        }
        const [strangers, startedAt] = [strangersMicros(), performance.now()]
        try {
          runs.push(await series.run(context))
        } catch (error) {
          broken++
          missing.set(`${series.name}, run ${run}`, String(error))
        } finally {
          await Promise.all([driver.end(), publisher.end()])
        }
        others.push((strangersMicros() - strangers) / 1000 / (performance.now() - startedAt))
        progress.done()
      }
      const outcome: Outcome = {
        series,
        runs,
        others,
        rows: computeMedians(runs),
        verdicts: computeVerdicts(series, runs, !options.quick),
      }
      outcomes.push(outcome)
      const { name, title } = series
      const facts = { machine, versions: versions(), ...choices, missing: [...missing] }
      const { rows, verdicts } = outcome
      writeFileSync(
        join(out, `${name}.json`),
        `${JSON.stringify({ name, title, ...facts, others, rows, verdicts, runs }, null, 1)}\n`,
      )
      const subtitle = `${machine.cores} cores shared with the load, Node ${machine.node}, median of ${runs.length}`
      writeFileSync(join(out, `${name}.svg`), picture(title, subtitle, toCharts(outcome)))
    }
  } finally {
    progress.end()
    await broker.end()
  }
  const text = outcomes.map(renderSection).join('\n\n')
  process.stdout.write(`\n${text}\n\n`)
  const verdicts = outcomes.flatMap((outcome) => outcome.verdicts)
  if (options.check) process.stdout.write(`${checkText(verdicts)}\n\n`)
  if (options.save) saveRatios(verdicts, machine.date.slice(0, 10))
  if (options.series.length === ALL.length) writeFileSync(join(out, 'tables.md'), `${text}\n`)
  for (const [what, why] of missing) process.stdout.write(`missing: ${what}: ${why}\n`)
  process.stdout.write(`Results and plots are in ${out}.\n`)
  return broken > 0 ? 1 : 0
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  // The exit ends everything that was started (test/support/harness/cleanup.ts).
  process.once(signal, () => process.exit(code))
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const usage = isUsage(error)
    const text = usage ? `${error.message}\n\n${HELP}` : `${error instanceof Error ? error.stack : error}\n`
    process.stderr.write(text)
    process.exit(usage ? 2 : 1)
  },
)
