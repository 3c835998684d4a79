// full
// needs: rabbitmq, pika

import { spawn } from 'node:child_process'
import { cpSync, readdirSync, symlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { killAtExit } from '../../support/harness/cleanup.ts'
import {
  GO_PATH,
  JAVA_CLASSES,
  type Need,
  pikaPython,
  provision,
  stompPython,
} from '../../support/harness/provision.ts'
import { suite } from '../../support/harness/suite.ts'
import { freePort, tempDir, until } from '../../support/harness/wait.ts'
import { messageRows, rejectedRows } from '../../support/servers/database.ts'
import { type Gateway, ROOT, startGateway } from '../../support/servers/gateway.ts'
import { type Broker, startBroker } from '../../support/servers/rabbitmq.ts'

const test = suite('the examples of publishing')

const FOLDER = join(ROOT, 'examples/publishing')

/** A copy of the examples, from which the libraries can be found. */
const dir = join(tempDir('gateway-examples-'), 'publishing')
cpSync(FOLDER, dir, { recursive: true })
symlinkSync(join(ROOT, 'node_modules'), join(dir, '../node_modules'))

let stompPort: number
let mqttPort: number
let broker: Broker
let gateway: Gateway

test.before(async () => {
  ;[stompPort, mqttPort] = [await freePort(), await freePort()]
  broker = await startBroker({
    plugins: ['rabbitmq_stomp', 'rabbitmq_mqtt'],
    config: [
      `stomp.listeners.tcp.1 = 127.0.0.1:${stompPort}`,
      `mqtt.listeners.tcp.1 = 127.0.0.1:${mqttPort}`,
      'mqtt.exchange = deepsoc_notifications_exchange',
    ].join('\n'),
  })
  gateway = await startGateway({ env: { RABBITMQ_URL: broker.url } })
  await gateway.ready()
})
test.after(async () => {
  await gateway?.dispose()
  await broker?.dispose()
})

/** Runs a command in the folder of the examples. @throws Error with its output unless it ends with 0 */
const run = async (program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> => {
  const child = spawn(program, args, {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: dir, RABBITMQ_URL: broker?.url, ...env },
  })
  const spare = killAtExit(child.pid!)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  spare()
  assert.is(code, 0, `${program} ${args.join(' ')}: ${code}\n${output}`)
}

/** The packages of package.json beside this file, which are installed for this run only. */
const installAmqplib = async (): Promise<void> => {
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(import.meta.dirname, file), join(dir, file))
  await run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'])
}

interface Example {
  /** Its file, whose message_id is the library with -1. */
  readonly file: string
  readonly library: string
  /** Provides the library. @throws Error if it cannot be had */
  readonly obtain: () => Promise<void>
  readonly run: () => Promise<void>
}

const from = (need: Need) => () => provision(need)

const EXAMPLES: readonly Example[] = [
  {
    file: 'publish_pika.py',
    library: 'pika',
    obtain: from('pika'),
    run: () => run(pikaPython()!, ['publish_pika.py']),
  },
  {
    file: 'rabbitmq-client.mjs',
    library: 'rabbitmq-client',
    obtain: from('rabbitmq'),
    run: () => run(process.execPath, ['rabbitmq-client.mjs']),
  },
  {
    file: 'amqplib.mjs',
    library: 'amqplib',
    obtain: installAmqplib,
    run: () => run(process.execPath, ['amqplib.mjs']),
  },
  {
    file: 'publish.go',
    library: 'go',
    obtain: from('go'),
    run: () => run('go', ['run', 'publish.go'], { GO111MODULE: 'off', GOPATH: GO_PATH, GOCACHE: join(dir, '../go') }),
  },
  {
    file: 'Publish.java',
    library: 'java',
    obtain: from('java'),
    run: () =>
      run('java', ['-cp', JAVA_CLASSES.join(':'), 'Publish.java'], { JAVA_TOOL_OPTIONS: '-Dfile.encoding=UTF-8' }),
  },
  {
    file: 'publish.php',
    library: 'php',
    obtain: from('php'),
    run: () => run('php', ['publish.php'], { AUTOLOAD: '/usr/share/php/PhpAmqpLib/autoload.php' }),
  },
  {
    file: 'publish_stomp.py',
    library: 'stomp',
    obtain: from('stomp'),
    run: () => run(stompPython()!, ['publish_stomp.py', '127.0.0.1', String(stompPort)]),
  },
  {
    file: 'mqtt.sh',
    library: 'mqtt',
    obtain: from('mosquitto'),
    run: () => run('sh', ['mqtt.sh', '127.0.0.1', String(mqttPort)]),
  },
]

test('are all run here', () => {
  assert.equal(readdirSync(FOLDER).sort(), EXAMPLES.map(({ file }) => file).sort())
})

for (const { file, library, obtain, run: publish } of EXAMPLES) {
  const missing = await obtain().then(
    () => null,
    (error: Error) => error.message,
  )
  if (missing !== null) {
    test.skip(file, missing)
    continue
  }
  test(`${file} publishes a message that arrives as it is`, async () => {
    await publish()
    const messages = () => messageRows(gateway.dbFile, 'e-1').filter(({ message_id }) => message_id === `${library}-1`)
    await until(() => messages().length === 1, { what: `the message of ${file}` })
    assert.is(JSON.parse(messages()[0]!.body).message_content, '先取证，再封禁')
    assert.equal(rejectedRows(gateway.dbFile), [])
  })
  if (library !== 'php') continue
  test(`${file} connects to no address that it would not encrypt`, async () => {
    let connections = 0
    const server = createServer((socket) => {
      connections++
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const RABBITMQ_URL = `amqps://soc:secret@127.0.0.1:${(server.address() as AddressInfo).port}`
    const env = { AUTOLOAD: '/usr/share/php/PhpAmqpLib/autoload.php', RABBITMQ_URL }
    const error = await run('php', ['publish.php'], env).then(String, String)
    server.close()
    assert.is(connections, 0)
    assert.match(error, 'amqp://')
  })
}

test.run()
