// unit
import { spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/harness/suite.ts'
import { tempDir } from '../support/harness/wait.ts'
import { ROUTE_NAMES } from '../support/repo/api-documents.ts'
import { COMMANDS } from '../support/repo/commands.ts'
import { DOCUMENTS, isChinese, readBlocks, readCodeSpans, readText } from '../support/repo/documents.ts'
import { ROOT } from '../support/servers/gateway.ts'

const test = suite('names in the documents')

/** All files and folders below these, by path from the root. */
const FILES: readonly string[] = [
  ...readdirSync(ROOT),
  ...['src', 'test', 'bench', 'build', 'deploy', 'docs', 'examples', 'integrations'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  ),
]

/** Names in documents, each with its location. */
const NAMES = DOCUMENTS.flatMap((document) => readCodeSpans(document).map((name) => ({ document, name })))

/** Returns whether a file or folder ends with this path, in which `*` matches a part of a name. */
const isThere = (path: string): boolean => {
  const pattern = new RegExp(`(^|/)${path.replace(/[.+]/g, '\\$&').replaceAll('*', '[^/]*')}$`)
  return FILES.some((file) => pattern.test(file))
}

/** Files outside the repository: of DeepSOC, PostgreSQL, agents, pages, or a run of the benchmarks. */
const OF_OTHERS =
  /^(bench\/results|lib\/\w+\.js|warroom\.js|main\.py|captain\.db|copy\.db|gateway\.db|agent\.db|tls\.(crt|key)|ca\.pem)$/

test('files and folders of the repository are there', () => {
  let seen = 0
  for (const { document, name } of NAMES) {
    const isFile = /^[\w@*-][\w./@*-]*\.(ts|js|css|sql|json|jsonl|ya?ml|md|py|service|conf|sample)$/.test(name)
    const isFolder = /^[a-z][\w-]*(\/[\w-]+)*\/$/.test(name)
    const isInside = /^(src|test|docs|deploy|examples|integrations|bench|build)\/[\w/.*-]+$/.test(name)
    if (!(isFile || isFolder || isInside) || OF_OTHERS.test(name)) continue
    seen++
    assert.ok(isThere(name.replace(/\/$/, '')), `${document}: ${name}`)
  }
  assert.ok(seen > 150, `${seen} names`)
})

test('commands have the flags that they are shown with', () => {
  const scripts = Object.keys(JSON.parse(readText('package.json')).scripts)
  let seen = 0
  const check = (document: string, text: string): void => {
    for (const [, script] of text.matchAll(/\bnpm run ([\w:-]+)/g)) {
      assert.ok(scripts.includes(script!), `${document}: npm run ${script}`)
    }
    for (const [call, words] of text.matchAll(
      /(?:deepsoc-gateway|npm start (?:--silent )?--|src\/cli\.ts) ([a-z][^\n|<>`#&)]*)/g,
    )) {
      const command = COMMANDS.find(({ name }) => `${words} `.startsWith(`${name} `))
      // A sentence, not a call.
      if (command === undefined && !COMMANDS.some(({ name }) => words!.startsWith(`${name.split(' ')[0]} -`))) continue
      assert.ok(command, `${document}: ${call}`)
      seen++
      for (const [, flag] of words!.matchAll(/ --([a-z][\w-]*)/g)) {
        assert.ok(flag === 'help' || Object.hasOwn(command!.flags, flag!), `${document}: ${call}: --${flag}`)
      }
    }
  }
  for (const document of DOCUMENTS) check(document, readText(document))
  assert.ok(seen > 50, `${seen} calls`)
})

test('the README calls commands through npm, which runs them with the Node of package.json', () => {
  for (const document of ['README.md', 'README.zh.md']) {
    const shell = readBlocks(document).filter(({ language }) => language === 'sh')
    for (const { text } of shell) assert.not.match(text, /^\s*(node|npx|deepsoc-gateway) /m, document)
    assert.ok(shell.some(({ text }) => text.includes('npm start -- publish < messages.jsonl')))
  }
})

test('calls over HTTP are routes of the gateway', () => {
  const pathOf = (route: string): string => route.split(' ')[1]!
  const isRoute = (call: string): boolean => {
    const [method, target] = call.split(' ') as [string, string]
    const path = target.split('?')[0]!
    return ROUTE_NAMES.some((route) => {
      const pattern = new RegExp(`^${pathOf(route).replace(/:\w+/g, '[^/]+')}$`)
      return route.startsWith(`${method} `) && pattern.test(path)
    })
  }
  let seen = 0
  for (const { document, name } of NAMES) {
    if (/^(GET|POST|DELETE) \//.test(name)) {
      seen++
      assert.ok(isRoute(name), `${document}: ${name}`)
    } else if (/^\/api\/[\w-]+s\b/.test(name)) {
      seen++
      const [, folder] = /^(\/api\/[\w-]+)/.exec(name)!
      assert.ok(
        ROUTE_NAMES.some((route) => pathOf(route).startsWith(folder!)),
        `${document}: ${name}`,
      )
    }
  }
  assert.ok(seen > 25, `${seen} calls`)
})

/** Names that the page or program around an example defines. */
const AROUND = `declare const show: (message: object) => void
declare const clear: () => void
declare const badge: (state: string, why?: string) => void
declare const socket: { off(name: string): void }
declare const eventId: string
declare const addMessage: (message: object) => boolean
declare const scrollToBottom: () => void
`

test('examples in TypeScript and JavaScript hold to the declarations of what they import', () => {
  const dir = tempDir('gateway-doc-types-')
  const scripts = DOCUMENTS.flatMap(readBlocks).flatMap(({ file, language, text }) => {
    if (language === 'html') {
      return [...text.matchAll(/<script[^>]*>(.+?)<\/script>/gs)].map(([, code]) => ({ file, code: code! }))
    }
    return language === 'ts' || language === 'js' ? [{ file, code: text }] : []
  })
  assert.ok(scripts.length >= 6, `${scripts.length} examples`)
  for (const [index, { file, code }] of scripts.entries()) {
    writeFileSync(join(dir, `${index}-${file.replace(/\W/g, '-')}.ts`), code)
  }
  writeFileSync(join(dir, 'around.d.ts'), AROUND)
  const source = (file: string) => [join(ROOT, 'src', file)]
  const config = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: {
      noUnusedLocals: false,
      typeRoots: [join(ROOT, 'node_modules', '@types')],
      moduleDetection: 'force',
      paths: {
        'deepsoc-gateway': source('index.ts'),
        'deepsoc-gateway/publisher': source('publisher/index.ts'),
        'deepsoc-gateway/client': source('web/client/index.ts'),
        '/client.js': source('web/client/index.ts'),
      },
    },
    include: [dir],
  }
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(config))
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', dir], { encoding: 'utf8' })
  assert.is(status, 0, stdout)
})

test('the Chinese documents contain no other commands than the English ones', () => {
  const linesOf = (file: string): string[] =>
    readBlocks(file)
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => text.split('\n'))
      .map((line) => line.replace(/\s+#.*$/, '').trim())
      .filter((line) => line !== '')
  const english = new Set(DOCUMENTS.filter((document) => !isChinese(document)).flatMap(linesOf))
  for (const document of DOCUMENTS.filter(isChinese)) {
    for (const line of linesOf(document)) assert.ok(english.has(line), `${document}: ${line}`)
  }
})

test.run()
