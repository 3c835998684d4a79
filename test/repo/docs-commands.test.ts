// needs: pika
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { openSse } from '../support/clients/sse.ts'
import { killAtExit } from '../support/harness/cleanup.ts'
import { suite } from '../support/harness/suite.ts'
import { freePort, tempDir } from '../support/harness/wait.ts'
import { DOCUMENTS, isChinese, readBlocks } from '../support/repo/documents.ts'
import { addRejected, forgetRejected } from '../support/servers/database.ts'
import { type Gateway, ROOT, startGateway } from '../support/servers/gateway.ts'
import { publish } from '../support/stages/rooms.ts'

const test = suite('commands of the documentation')

/** The commands of the Chinese documents are identical, as test/repo/docs-names.test.ts verifies. */
const RUN = DOCUMENTS.filter((name) => !isChinese(name))

/** Blocks that are not run here, by a line that they contain, with the test file that covers them. */
const ELSEWHERE: readonly [RegExp, string][] = [
  [/^npm ci && npm start/m, '.ci/run'],
  [/^npm cit/m, '.ci/run'],
  [/^npm (test|run (check|format|bench|soak))/m, 'package.json'],
  [/^npm run dev/m, 'test/repo/dev.test.ts'],
  [/^npm run cluster/m, 'test/resilience/cluster.test.ts'],
  [/^npm ci && npm run build/m, 'test/e2e/deploy/binary.test.ts'],
  [/^docker (build|run|compose) /m, 'test/e2e/deploy/docker.test.ts'],
  [/rabbit\.example/, 'test/integration/ingest/ingest.test.ts'],
  [/^TLS_CERT_FILE=/m, 'test/integration/http/tls.test.ts'],
  [/^DATABASE_URL=postgres:/m, 'test/integration/cluster/postgres-hosts.test.ts'],
  [/^OTEL_EXPORTER_OTLP_ENDPOINT=/m, 'test/integration/monitoring/tracing.test.ts'],
  [/^python3 agent\.py/m, 'test/integration/publisher/python-agent.test.ts'],
  [/deepsoc_bridge/, 'test/integration/deepsoc/bridge.test.ts'],
  [/gateway\.example/, 'test/integration/cli/access.test.ts'],
  [/UPSTREAM_URL=/, 'test/integration/upstream/edge.test.ts'],
  [/^deepsoc-gateway migrate /m, 'test/integration/store/transfer.test.ts'],
  [/\/backups\//, 'test/integration/store/backup.test.ts'],
  [/^sqlite3 captain\.db/m, 'test/integration/publisher/outbox.test.ts'],
]

/** Documents whose commands the short tier runs; those of the command line have tests of their own. */
const SHORT = ['README.md', 'docs/DEEPSOC.md']

type Block = { readonly file: string; readonly script: string }

const blocks: Block[] = RUN.flatMap((file) =>
  readBlocks(file)
    .filter(({ language }) => language === 'sh' || language === 'bash')
    .map(({ text }) => ({ file, script: text })),
)

let gateway: Gateway
let bin: string
let publishing: ReturnType<typeof keepPublishing> | undefined

test.before(async () => {
  gateway = await startGateway({ env: { RETENTION_DAYS: undefined } })
  for (const event of ['demo', 'incident-17']) await publish(gateway, event, [{ n: 1 }, { n: 2 }])
  publishing = keepPublishing()
  bin = join(tempDir('gateway-doc-bin-'), 'bin')
  mkdirSync(bin)
  const helper = join(ROOT, 'test/support/repo/doc-command.ts')
  for (const name of ['deepsoc-gateway', 'npm', 'node', 'curl']) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec "${process.execPath}" "${helper}" ${name} "$@"\n`, { mode: 0o755 })
  }
})
test.after(async () => {
  await publishing?.stop()
  await gateway?.dispose()
})

/** Rows 1 to 18 of the quarantine, with all reasons that the documents name; all are now valid. */
const fillQuarantine = (): void => {
  const reasons = ['message_conflict', 'message_unstorable', 'invalid_json']
  const rows = Array.from({ length: 18 }, (_, n) => ({
    body: `{"event_id":"r","n":${n}}`,
    reason: reasons[n % 3]!,
  }))
  forgetRejected(gateway.dbFile)
  addRejected(gateway.dbFile, rows)
}

/** Publishes to the events of the documents until `stop`, so that commands that subscribe to them print something. */
const keepPublishing = () => {
  const message = { message_from: '_captain', message_type: 'llm_response', message_content: 'go on' }
  const publishAll = () => Promise.all(['demo', 'incident-17'].map((event) => publish(gateway, event, message)))
  let outcome: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    outcome = Promise.all([outcome, publishAll()])
    outcome.catch(() => {})
  }, 500)
  return {
    /** @throws Error the first failed request, after all have ended */
    stop: async (): Promise<void> => {
      clearInterval(timer)
      await outcome
    },
  }
}

/** Runs a block as pasted by a user, in an empty folder. @returns its exit code and output */
const runBlock = async ({ script }: Block): Promise<{ code: number | null; output: string }> => {
  const folder = tempDir('gateway-doc-')
  writeFileSync(join(folder, 'messages.jsonl'), '{"event_id":"file","n":1}\n{"event_id":"file","n":2}\n')
  const ownGateway = /&$/m.test(script)
  const port = ownGateway ? await freePort() : Number(new URL(gateway.url).port)
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: folder,
      // Without a key the gateway checks no token; `token` needs one to sign.
      TOKEN: 'any',
      ...(/ token /.test(script) && !ownGateway && { JWT_SECRET: 'x'.repeat(32) }),
      DOC_PATH: process.env.PATH,
      TEST_BINARY: process.env.TEST_BINARY,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
      DOC_URL: `http://127.0.0.1:${port}`,
      ...(ownGateway ? { DOC_BACKGROUND: '1', DOC_PORT: String(port) } : {}),
      PORT: String(port),
      DATABASE_URL: `sqlite:${ownGateway ? join(folder, 'own.db') : gateway.dbFile}`,
    },
  })
  const forget = killAtExit(child.pid!)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  // Its background processes end with it.
  try {
    process.kill(-child.pid!, 'SIGTERM')
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ESRCH')
  }
  forget()
  return { code, output }
}

const elsewhereOf = ({ script }: Block): string | undefined => ELSEWHERE.find(([line]) => line.test(script))?.[1]

/** Converts output in a document to a pattern: `…` matches any text. */
const patternOf = (text: string): RegExp =>
  new RegExp(
    text
      .trim()
      .split('…')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('[^"\\n]+'),
  )

test('match the output shown in the README', async () => {
  // No heartbeat comes between the events that are shown.
  const own = await startGateway({ env: { HEARTBEAT_SECONDS: '300' } })
  const [welcome, stream] = readBlocks('README.md').filter(({ language }) => language === 'text')
  const said = welcome!.text.replaceAll('http://127.0.0.1:8080', own.url).replace('data/gateway.db', own.dbFile)
  assert.match(own.output(), patternOf(said))
  const reader = await openSse(`${own.url}/api/events/demo/stream`)
  await reader.next('caught_up')
  await publish(own, 'demo', { message_from: 'me', message_type: 'chat', message_content: 'hello' })
  await reader.next('new_message')
  assert.match(String(reader.raw()), patternOf(stream!.text))
  reader.close()
  await own.dispose()
})

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
  const add = SHORT.includes(block.file) ? test : test.full
  const command = block.script.split('\n').find((line) => !line.startsWith('#'))
  add(`work as they stand: ${block.file}: ${command}`, async () => {
    if (block.script.includes('rejected')) fillQuarantine()
    const { code, output } = await runBlock(block)
    assert.is(code, 0, `exit ${code}\n${block.script}\n${output}`)
  })
}

test.run()
