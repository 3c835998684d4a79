/**
 * Where the time goes: `node bench/profile.ts FILE.cpuprofile… [--top N]` prints the greatest self times of each
 * profile that `--profile` has left.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

interface Place {
  readonly where: string
  /** Microseconds. */
  readonly self: number
}

/** Self time by function, greatest first; waiting is left out. */
const selfTimes = ({ nodes, samples, timeDeltas }: Profile): { places: Place[]; busy: number; all: number } => {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.replace(/^.*\/(node_modules|src)\//, '$1/').replace(/^file:\/\//, '')
      return [id, `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`]
    }),
  )
  const times = new Map<string, number>()
  let all = 0
  for (const [index, id] of samples.entries()) {
    const name = names.get(id)!
    times.set(name, (times.get(name) ?? 0) + timeDeltas[index]!)
    all += timeDeltas[index]!
  }
  const idle = times.get('(idle)') ?? 0
  times.delete('(idle)')
  const places = [...times].map(([where, self]) => ({ where, self })).sort((a, b) => b.self - a.self)
  return { places, busy: all - idle, all }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { top: { type: 'string', default: '20' } },
})
for (const file of positionals) {
  const { places, busy, all } = selfTimes(JSON.parse(readFileSync(file, 'utf8')) as Profile)
  process.stdout.write(`${file}: busy ${(busy / 1e6).toFixed(2)} of ${(all / 1e6).toFixed(2)} s\n`)
  for (const { where, self } of places.slice(0, Number(values.top))) {
    process.stdout.write(`${((self / busy) * 100).toFixed(1).padStart(6)} %  ${where}\n`)
  }
}
