import { posix } from 'node:path'

/** Source texts by path below src/, with `/`: `store/sqlite/store.ts`. */
export type Sources = Readonly<Record<string, string>>

/** One import. `type`: erased before it runs. `worker`: a file that `new URL` names, run in a thread. */
export interface Arrow {
  readonly from: string
  /** A path like those of Sources, or the name of a package, subpath included. */
  readonly to: string
  readonly kind: 'value' | 'type' | 'dynamic' | 'worker'
}

const STATEMENT =
  /^[ \t]*(?:import|export)\b(?!\s*\()(\s+type\b(?!\s*,|\s+from\b))?\s*([\w*$\s{},]*?)\s*(?:\bfrom\s*)?(['"])([^'"\n]+)\3/gm
const DYNAMIC = /\bimport\s*\(\s*(['"`])([^'"`\n]+)\1\s*\)/g
const WORKER = /\bnew\s+URL\(\s*(['"`])(\.[^'"`\n$]+\.ts)\1/g

/** Takes comments out, and leaves what lies in strings alone. */
export const withoutComments = (text: string): string =>
  text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`)|\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*/g,
    (_all, string?: string) => string ?? ' ',
  )

/** True for `{ type A, type B }`: nothing of it is left at run time. */
const onlyTypes = (clause: string): boolean => {
  const names = /^\{([\s\S]*)\}$/.exec(clause.trim())?.[1]
  if (names === undefined) return false
  const specifiers = names.split(',').map((name) => name.trim())
  return specifiers.every((name) => name === '' || /^type\s/.test(name)) && specifiers.some((name) => name !== '')
}

const target = (from: string, specifier: string): string =>
  specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier.replace(/^node:/, 'node:')

/** All imports of a file, whatever their form. */
export const arrowsOf = (from: string, text: string): Arrow[] => {
  const code = withoutComments(text)
  const arrows: Arrow[] = []
  for (const [, type, clause = '', , specifier = ''] of code.matchAll(STATEMENT)) {
    const erased = type !== undefined || onlyTypes(clause)
    arrows.push({ from, to: target(from, specifier), kind: erased ? 'type' : 'value' })
  }
  for (const [, , specifier = ''] of code.matchAll(DYNAMIC)) {
    arrows.push({ from, to: target(from, specifier), kind: 'dynamic' })
  }
  for (const [, , specifier = ''] of code.matchAll(WORKER)) {
    arrows.push({ from, to: target(from, specifier), kind: 'worker' })
  }
  return arrows
}

const room = (path: string): string => (path.includes('/') ? `${path.split('/')[0]}/` : path)

/** What each room may import from, beside packages; `type` where only types may come from there. */
const MAY_ENTER: Record<string, Record<string, 'value' | 'type'>> = {
  'message/': { 'message/': 'value' },
  'log/': { 'message/': 'value', 'log/': 'value', 'assets.ts': 'value' },
  'ingest/': { 'message/': 'value', 'ingest/': 'value', 'log/': 'type', 'health.ts': 'type' },
  'live/': { 'message/': 'value', 'live/': 'value', 'log/': 'type' },
  'overview/': { 'overview/': 'value', 'http/': 'type', 'health.ts': 'type', 'sample.ts': 'value' },
  'telemetry/': {
    'message/': 'value',
    'telemetry/': 'value',
    'log/': 'type',
    'live/': 'type',
    'ingest/': 'type',
    'health.ts': 'type',
    'within.ts': 'value',
  },
  'http/': {
    'message/': 'value',
    'http/': 'value',
    'live/': 'value',
    'log/': 'type',
    'health.ts': 'type',
    'sample.ts': 'value',
    'assets.ts': 'value',
  },
  'publisher/': { 'publisher/': 'value' },
  'web/': { 'web/': 'value' },
  'commands/': {
    'commands/': 'value',
    'publisher/': 'value',
    'log/': 'value',
    'message/': 'value',
    'config.ts': 'value',
    'serve.ts': 'value',
  },
}

interface Owner {
  readonly package: RegExp
  readonly owners: RegExp
  /** Everybody may name its types. */
  readonly typesFree: boolean
}

const owned = (name: string, owners: RegExp, typesFree = false): Owner => ({
  package: new RegExp(`^${name}(/|$)`),
  owners,
  typesFree,
})

const OWNERS: readonly Owner[] = [
  owned('rabbitmq-client', /^(ingest|publisher)\//),
  owned('better-sqlite3', /^(log\/|publisher\/outbox-file\.ts$)/),
  owned('kysely', /^log\//),
  owned('pg', /^log\/postgres[\w-]*\.ts$/),
  owned('koa', /^http\//),
  owned('@koa/router', /^http\//),
  owned('@koa/cors', /^http\//),
  owned('eventsource-parser', /^commands\//),
  owned('jose', /^(http\/auth|commands\/token)[\w-]*\.ts$/),
  owned('pino', /^telemetry\//, true),
  owned('prom-client', /^telemetry\//, true),
  owned('@opentelemetry/.+', /^telemetry\/tracing[\w-]*\.ts$/, true),
]

/** Words of the language that have one owner. */
const WORDS: readonly { readonly word: RegExp; readonly says: string; readonly owners: RegExp }[] = [
  {
    word: /\bprocess\s*\.\s*env\b|\bprocess\s*\[|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/,
    says: 'process.env',
    owners: /^(environment|publisher\/environment)\.ts$/,
  },
  { word: /\bprocess\s*\.\s*(exit|reallyExit|abort)\b/, says: 'process.exit', owners: /^(cli|serve)\.ts$/ },
]

/** message/ is pure: of Node it takes nothing that does I/O. */
const PURE = /^(zod|node:buffer)$/

/** One sentence for each import that the rules forbid. */
export const forbiddenArrows = (sources: Sources): string[] => {
  const faults: string[] = []
  for (const [path, text] of Object.entries(sources)) {
    const allowed = MAY_ENTER[room(path)]
    for (const { from, to, kind } of arrowsOf(path, text)) {
      const inside = to.endsWith('.ts') && !to.startsWith('node:')
      if (inside) {
        if (sources[to] === undefined) faults.push(`${from} imports ${to}, which is not there`)
        const may = allowed === undefined ? 'value' : (allowed[to] ?? allowed[room(to)])
        if (may === undefined) faults.push(`${from} must not import ${to}`)
        else if (may === 'type' && kind !== 'type') faults.push(`${from} may import only types of ${to}`)
        continue
      }
      if (room(path) === 'message/' && !PURE.test(to)) faults.push(`${from} must not import ${to}`)
      if (/^(node:)?process$/.test(to)) faults.push(`${from} must take process as the global it is`)
      const owner = OWNERS.find((one) => one.package.test(to))
      if (owner === undefined || owner.owners.test(path)) continue
      if (!owner.typesFree || kind !== 'type') faults.push(`${from} must not import ${to}: it has another owner`)
    }
    const code = withoutComments(text)
    for (const { word, says, owners } of WORDS) {
      if (word.test(code) && !owners.test(path)) faults.push(`${path} must not use ${says}`)
    }
  }
  return faults
}

const cycleIn = (graph: ReadonlyMap<string, ReadonlySet<string>>): string[] | null => {
  const done = new Set<string>()
  const walk = (node: string, path: string[]): string[] | null => {
    const at = path.indexOf(node)
    if (at >= 0) return [...path.slice(at), node]
    if (done.has(node)) return null
    for (const next of graph.get(node) ?? []) {
      const cycle = walk(next, [...path, node])
      if (cycle !== null) return cycle
    }
    done.add(node)
    return null
  }
  for (const node of graph.keys()) {
    const cycle = walk(node, [])
    if (cycle !== null) return cycle
  }
  return null
}

/**
 * The first cycle there is, as `a → b → a`, or null: among files by what is left at run time, since two files may
 * name each other's types; among rooms by every import.
 */
export const findCycle = (sources: Sources, among: 'files' | 'rooms'): string | null => {
  const graph = new Map<string, Set<string>>()
  for (const [path, text] of Object.entries(sources)) {
    const node = among === 'files' ? path : room(path)
    const nexts = graph.get(node) ?? new Set()
    graph.set(node, nexts)
    for (const { to, kind } of arrowsOf(path, text)) {
      if (sources[to] === undefined || (among === 'files' && kind === 'type')) continue
      const next = among === 'files' ? to : room(to)
      if (among === 'files' || next !== node) nexts.add(next)
    }
  }
  return cycleIn(graph)?.join(' → ') ?? null
}
