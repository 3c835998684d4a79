import { posix } from 'node:path'

/** Source texts by path below src/, with `/`: `store/sqlite/store.ts`. */
export type Sources = Readonly<Record<string, string>>

/** One import. `type`: erased before it runs. `worker`: a file named by `new URL` that runs in a thread. */
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

/** Removes comments and leaves strings unchanged. */
export const withoutComments = (text: string): string =>
  text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`)|\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*/g,
    (_all, string?: string) => string ?? ' ',
  )

/** True for `{ type A, type B }`, which leaves nothing at run time. */
const onlyTypes = (clause: string): boolean => {
  const names = /^\{([\s\S]*)\}$/.exec(clause.trim())?.[1]
  if (names === undefined) return false
  const specifiers = names.split(',').map((name) => name.trim())
  return specifiers.every((name) => name === '' || /^type\s/.test(name)) && specifiers.some((name) => name !== '')
}

const target = (from: string, specifier: string): string =>
  specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier.replace(/^node:/, 'node:')

/** Returns all imports of a file, in every form. */
export const parseImports = (from: string, text: string): Arrow[] => {
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

const getTopFolder = (path: string): string => (path.includes('/') ? `${path.split('/')[0]}/` : path)

/** Allowed imports of each folder besides itself and packages; `type` if only types can be imported. */
const MAY_IMPORT: Record<string, Record<string, 'value' | 'type'>> = {
  'core/': {},
  'platform/': { 'core/': 'value' },
  'amqp/': { 'core/': 'value' },
  'store/': { 'core/': 'value', 'platform/': 'value' },
  'monitoring/': { 'core/': 'value' },
  'streams/': { 'core/': 'value', 'store/': 'type' },
  'ingest/': { 'core/': 'value', 'amqp/': 'value', 'store/': 'type', 'monitoring/': 'type' },
  'publisher/': { 'core/': 'value', 'amqp/': 'value' },
  'upstream/': { 'core/': 'value', 'store/': 'type' },
  'telemetry/': {
    'core/': 'value',
    'platform/': 'value',
    'store/': 'type',
    'streams/': 'type',
    'ingest/': 'type',
    'monitoring/': 'type',
    'upstream/': 'type',
  },
  'cluster/': { 'core/': 'value', 'monitoring/': 'value', 'store/': 'value' },
  'http/': {
    'core/': 'value',
    'platform/': 'value',
    'monitoring/': 'value',
    'streams/': 'value',
    'store/': 'type',
    'upstream/': 'type',
    'cluster/': 'type',
  },
  'config/': {
    'core/': 'value',
    'platform/': 'value',
    'amqp/': 'value',
    'store/': 'value',
    'http/': 'value',
    'ingest/': 'type',
    'upstream/': 'type',
    'telemetry/': 'type',
  },
  'app/': {
    'core/': 'value',
    'platform/': 'value',
    'amqp/': 'value',
    'store/': 'value',
    'monitoring/': 'value',
    'streams/': 'value',
    'ingest/': 'value',
    'upstream/': 'value',
    'telemetry/': 'value',
    'cluster/': 'value',
    'http/': 'value',
    'config/': 'value',
  },
  'cli/': {
    'core/': 'value',
    'platform/': 'value',
    'store/': 'value',
    'publisher/': 'value',
    'upstream/': 'value',
    'config/': 'value',
    'app/': 'value',
    'monitoring/': 'type',
  },
  'web/': { 'core/': 'type', 'monitoring/': 'type', 'store/': 'type', 'http/': 'type', 'upstream/': 'type' },
}

interface Owner {
  readonly package: RegExp
  readonly owners: RegExp
  /** Every folder can import its types. */
  readonly typesFree: boolean
}

const owned = (name: string, owners: RegExp, typesFree = false): Owner => ({
  package: new RegExp(`^${name}(/|$)`),
  owners,
  typesFree,
})

const OWNERS: readonly Owner[] = [
  owned('rabbitmq-client', /^amqp\//, true),
  owned('better-sqlite3', /^(store\/|publisher\/outbox-file\.ts$)/),
  owned('kysely', /^store\//),
  owned('pg', /^store\/postgres\//),
  owned('koa', /^http\//),
  owned('@koa/router', /^http\//),
  owned('@koa/cors', /^http\//),
  owned('eventsource-parser', /^(cli|upstream)\//),
  owned('jose', /^(http\/auth|cli\/token)\//),
  owned('pino', /^telemetry\//, true),
  owned('prom-client', /^telemetry\//, true),
  owned('@opentelemetry/.+', /^telemetry\/tracing\.ts$/, true),
]

/** Words of the code that only one folder can use. */
const WORDS: readonly { readonly word: RegExp; readonly says: string; readonly owners: RegExp }[] = [
  {
    word: /\bprocess\s*\.\s*env\b|\bprocess\s*\[|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/,
    says: 'process.env',
    owners: /^(platform\/env|publisher\/settings)\.ts$/,
  },
  {
    // Node's own `_handle` does not belong to a package.
    word: /[\w)\]]\??\._(?!handle\b)[a-z]\w*|rabbitmq-client\/lib\//,
    says: 'private members of a package',
    owners: /^amqp\/rabbitmq-client-patch\.ts$/,
  },
  { word: /\bprocess\s*\.\s*(exit|reallyExit|abort)\b/, says: 'process.exit', owners: /^(cli|app\/serve)\.ts$/ },
]

/** core/ is pure: it uses nothing of Node that does I/O. */
const PURE = /^(zod|node:buffer|node:zlib)$/

/** Returns one sentence per forbidden import. */
export const forbiddenArrows = (sources: Sources): string[] => {
  const faults: string[] = []
  for (const [path, text] of Object.entries(sources)) {
    const folder = getTopFolder(path)
    const allowed = MAY_IMPORT[folder]
    for (const { from, to, kind } of parseImports(path, text)) {
      const inside = to.endsWith('.ts') && !to.startsWith('node:')
      if (inside) {
        if (sources[to] === undefined) faults.push(`${from} imports ${to}, which is not there`)
        const may = allowed === undefined || getTopFolder(to) === folder ? 'value' : allowed[getTopFolder(to)]
        if (may === undefined) faults.push(`${from} must not import ${to}`)
        else if (may === 'type' && kind !== 'type') faults.push(`${from} may import only types of ${to}`)
        continue
      }
      if (folder === 'core/' && !PURE.test(to)) faults.push(`${from} must not import ${to}`)
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

/** Returns the first cycle as `a → b → a`, or null. Imports of types count. */
export const findCycle = (sources: Sources, among: 'files' | 'folders'): string | null => {
  const toNode = (path: string): string => (among === 'files' ? path : getTopFolder(path))
  const graph = new Map<string, Set<string>>()
  for (const [path, text] of Object.entries(sources)) {
    const targets = graph.get(toNode(path)) ?? new Set()
    graph.set(toNode(path), targets)
    for (const { to } of parseImports(path, text)) {
      if (sources[to] === undefined || (among === 'folders' && toNode(to) === toNode(path))) continue
      targets.add(toNode(to))
    }
  }
  return cycleIn(graph)?.join(' → ') ?? null
}

const EXPORTED = /^export (?:declare |abstract |async )*(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm

/** Both stores implement the same interface, so the same file in both can export the same names. */
const sameRole = (path: string): string => path.replace(/^store\/(sqlite|postgres)\//, 'store/*/')

/** Returns one line per name that several files export. */
export const ambiguousNames = (sources: Sources): string[] => {
  const owners = new Map<string, Set<string>>()
  for (const [path, text] of Object.entries(sources)) {
    for (const [, name = ''] of withoutComments(text).matchAll(EXPORTED)) {
      owners.set(name, (owners.get(name) ?? new Set()).add(sameRole(path)))
    }
  }
  return [...owners].filter(([, paths]) => paths.size > 1).map(([name, paths]) => `${name}: ${[...paths].join(', ')}`)
}
