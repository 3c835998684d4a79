// needs: pika
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from './support/cleanup.ts'
import { addRejected } from './support/database.ts'
import { blocksOf, DOCUMENTS } from './support/documents.ts'
import { type Gateway, ROOT, startGateway } from './support/gateway.ts'
import { publish } from './support/rooms.ts'
import { suite } from './support/suite.ts'
import { freePort, tempDir } from './support/wait.ts'

const test = suite('commands of the documentation', { timeoutMs: 240_000 })

/** Those of the Chinese README are the same, as test/docs-names.test.ts sees to. */
const RUN = DOCUMENTS.filter((name) => name !== 'README.zh.md')

/** Blocks that are not run here, by a line that they hold, with the file that runs what they say. */
const ELSEWHERE: readonly [RegExp, string][] = [
  [/^npm ci && npm start/m, '.ci/run'],
  [/^npm cit/m, '.ci/run'],
  [/^npm (test|run (check|format|bench))/m, 'package.json'],
  [/^npm ci && npm run build/m, 'test/binary.test.ts'],
  [/^docker (build|run) /m, 'test/docker.test.ts'],
  [/rabbit\.example/, 'test/ingest.test.ts'],
  [/^TLS_CERT_FILE=/m, 'test/tls.test.ts'],
  [/^OTEL_EXPORTER_OTLP_ENDPOINT=/m, 'test/tracing.test.ts'],
  [/^python3 agent\.py/m, 'test/python-agent.test.ts'],
  [/gateway\.example/, 'test/cli-access.test.ts'],
  [/\/backups\//, 'test/backup.test.ts'],
  [/^sqlite3 captain\.db/m, 'test/outbox.test.ts'],
]

type Block = { readonly file: string; readonly script: string }

const blocks: Block[] = RUN.flatMap((file) =>
  blocksOf(file)
    .filter(({ language }) => language === 'sh' || language === 'bash')
    .map(({ text }) => ({ file, script: text })),
)

let gateway: Gateway
let bin: string

test.before(async () => {
  gateway = await startGateway({ env: { RETENTION_DAYS: undefined } })
  for (const event of ['demo', 'incident-17']) await publish(gateway, event, [{ n: 1 }, { n: 2 }])
  bin = join(tempDir('gateway-doc-bin-'), 'bin')
  mkdirSync(bin)
  const helper = join(ROOT, 'test/support/doc-command.ts')
  for (const name of ['deepsoc-gateway', 'npm', 'node', 'curl']) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec "${process.execPath}" "${helper}" ${name} "$@"\n`, { mode: 0o755 })
  }
})
test.after(() => gateway.dispose())

/** Rows 1 to 18 of the quarantine, of all reasons that the documents name. */
const fillQuarantine = (): void => {
  const reasons = ['message_conflict', 'storage_refused', 'invalid_json']
  addRejected(
    gateway.dbFile,
    Array.from({ length: 18 }, (_, n) => ({ body: `{"event_id":"r","n":${n},"x":NaN}`, reason: reasons[n % 3]! })),
  )
}

/** Runs a block as a user would paste it, in an empty folder. @returns its exit code and what it printed */
const runBlock = async ({ script }: Block): Promise<{ code: number | null; output: string }> => {
  const folder = tempDir('gateway-doc-')
  writeFileSync(join(folder, 'messages.jsonl'), '{"event_id":"file","n":1}\n{"event_id":"file","n":2}\n')
  const ownGateway = /&$/m.test(script)
  const port = ownGateway ? await freePort() : Number(new URL(gateway.url).port)
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    detached: true,
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: folder,
      DOC_PATH: process.env.PATH,
      DOC_URL: `http://127.0.0.1:${port}`,
      ...(ownGateway ? { DOC_BACKGROUND: '1', DOC_PORT: String(port) } : {}),
      PORT: String(port),
      DATABASE_URL: `sqlite:${ownGateway ? join(folder, 'own.db') : gateway.dbFile}`,
    },
  })
  const forget = killAtExit(child.pid!)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  child.stdin.end()
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  // What it left in the background goes with it.
  try {
    process.kill(-child.pid!, 'SIGTERM')
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ESRCH')
  }
  forget()
  return { code, output }
}

const elsewhereOf = ({ script }: Block): string | undefined => ELSEWHERE.find(([line]) => line.test(script))?.[1]

test('that are proved by another test name one that exists, and each such rule still fits a block', () => {
  for (const [line, file] of ELSEWHERE) {
    assert.ok(readFileSync(join(ROOT, file), 'utf8').length > 0, file)
    assert.ok(
      blocks.some(({ script }) => line.test(script)),
      `no block holds ${line}`,
    )
  }
})

for (const block of blocks.filter((one) => elsewhereOf(one) === undefined)) {
  test(`work as they stand: ${block.file}: ${block.script.split('\n').find((line) => !line.startsWith('#'))}`, async () => {
    if (block.script.includes('rejected')) fillQuarantine()
    const { code, output } = await runBlock(block)
    assert.is(code, 0, `exit ${code}\n${block.script}\n${output}`)
  })
}

test.run()
