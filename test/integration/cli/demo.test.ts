import * as assert from 'uvu/assert'
import { callCli, jsonLines, runCli, startCli } from '../../support/clients/cli.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, getJson, tempDir, until } from '../../support/harness/wait.ts'
import { countMessages, messageRows } from '../../support/servers/database.ts'
import { type Gateway, startGateway } from '../../support/servers/gateway.ts'

let gateway: Gateway
const env = () => ({ PORT: new URL(gateway.url).port })

const demo = suite('demo')

demo.before(async () => {
  gateway = await startGateway()
})
demo.after(() => gateway.dispose())

/** Returns the parts of a message that do not depend on the run. */
const scripted = (text: string): string =>
  text.replace(/"(message_id|timestamp|created_at|updated_at)":"[^"]*"/g, '').replace(/-[0-9a-f]{6}-(\d+)"/g, '-$1"')

demo('--print twice with one seed gives the same messages, each run with ids of its own', async () => {
  const [one, two] = await Promise.all([1, 2].map(() => callCli(['demo', '--print', '--seed', '11', '--events', '2'])))
  assert.equal([one!.code, one!.stderr], [0, ''])
  assert.is(scripted(one!.stdout), scripted(two!.stdout))
  const idsOf = (text: string) => jsonLines<{ message_id: string; event_id: string }>(text)
  const both = [...idsOf(one!.stdout), ...idsOf(two!.stdout)]
  assert.is(new Set(both.map(({ message_id }) => message_id)).size, both.length)
  assert.is(new Set(both.map(({ event_id }) => event_id)).size, 4)
})

demo('plays over HTTP, in order, and prints the address to open', async () => {
  const printed = await callCli(['demo', '--print', '--seed', '5', '--events', '2'])
  const { code, stdout, stderr } = await runCli(['demo', '--seed', '5', '--events', '2', '--speed', '5000'], {
    env: env(),
  })
  assert.equal([code, stdout], [0, ''])
  const pages = [...stderr.matchAll(/(http:\S+)\/events\/(\S+)/g)]
  assert.equal(
    pages.map(([, base]) => base),
    [gateway.url, gateway.url],
  )
  for (const [, , event] of pages) {
    const slug = event!.replace(/-[0-9a-f]{6}-\d$/, '')
    const wanted = printed.stdout.split('\n').filter((text) => text.includes(`"event_id":"${slug}-`))
    const stored = messageRows(gateway.dbFile, event!).map(({ body }) => body)
    assert.equal(stored.map(scripted), wanted.map(scripted))
  }
  assert.match(stderr, /\d+ messages published\.\n$/)
})

demo('SIGINT stops it with 130', async () => {
  const run = startCli(['demo', '--seed', '5', '--speed', '20'], { env: env() })
  const before = countMessages(gateway.dbFile)
  await until(() => countMessages(gateway.dbFile) > before + 3, { what: 'the play is under way' })
  run.child.kill('SIGINT')
  const { code, stderr } = await run.done
  assert.is(code, 130)
  assert.match(stderr, 'interrupted')
})

demo('without a gateway it exits with 1 and a hint', async () => {
  const lone = { PORT: String(await freePort()) }
  const { code, stderr } = await callCli(['demo', '--speed', '5000'], { env: lone })
  assert.is(code, 1)
  assert.match(stderr, /gateway_unreachable[\s\S]*hint: Start the gateway/)
})

for (const workers of ['1', '2']) {
  const add = workers === '1' ? demo : demo.full
  add(
    `serve --demo with ${workers} worker${workers === '1' ? '' : 's'} serves a living war room and stops in order`,
    async () => {
      const served = await startGateway({
        args: ['--demo', '--events', '1', '--speed', '2000'],
        dataDir: tempDir('gateway-demo-'),
        env: { WORKERS: workers, SHUTDOWN_SECONDS: '8' },
      })
      try {
        const wholeIncident = async () => {
          const { body } = await getJson(`${served.url}/api/events`)
          return body.data.length > 1
        }
        // A second incident begins only when the first is closed.
        await until(wholeIncident, { what: 'the second incident' })
        assert.match(served.output(), `${served.url}/events/`)
        const { code } = await served.term('SIGINT')
        assert.is(code, 0, served.output())
        assert.not.match(served.output(), 'The demo was interrupted')
        const [first] = messageRows(served.dbFile)
        const rows = messageRows(served.dbFile, first!.event_id)
        assert.ok(rows.length > 50, `${rows.length} messages`)
        assert.is(rows.at(-1)!.message_type, 'chat')
      } finally {
        await served.dispose()
      }
    },
  )
}

demo.run()
