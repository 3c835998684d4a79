import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { type Channel, Connection } from 'rabbitmq-client'
import { killAtExit } from '../harness/cleanup.ts'
import { limit, within } from '../harness/limits.ts'
import { RABBITMQ_BINS } from '../harness/provision.ts'
import { freePort, tempDir, until } from '../harness/wait.ts'

/** A private RabbitMQ node. Every method settles only once its effect has occurred. */
export type Broker = {
  /** `amqp://guest:guest@HOST:PORT`, the same for the node's whole life. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** Name of the Erlang node. */
  readonly name: string
  /** Address of the management API if that plugin is enabled, e.g. `http://127.0.0.1:20123` (guest, guest). */
  readonly managementUrl: string | undefined
  /** Process id of the Erlang VM, undefined while the node is down. */
  readonly pid: number | undefined
  /**
   * SIGKILL; data and ports are kept for `start`. RabbitMQ writes its registry of quorum queues lazily: one declared
   * just before a SIGKILL comes back permanently empty and without a leader. So the registry is flushed first, unless
   * `raw` requests the plain kill.
   */
  kill9(options?: { raw?: boolean }): Promise<void>
  /** A graceful shutdown by SIGTERM; data and ports are kept for `start`. */
  stop(): Promise<void>
  /** Restarts a stopped or killed node; one that is running is left unchanged. */
  start(): Promise<void>
  /** Freezes the VM with SIGSTOP: connections stay open without responses. `thaw` resumes it. */
  freeze(): void
  thaw(): void
  /** Runs rabbitmqctl on the node and returns its stdout; throws with its output if it fails. Takes a second. */
  ctl(...args: string[]): Promise<string>
  /** Evaluates Erlang on the node in milliseconds, e.g. `rabbit:is_running()`, and returns the printed result. */
  evaluate(expression: string): Promise<string>
  /** Sets an alarm, by default that of memory: publishers are blocked from now on. */
  alarmOn(resource?: Resource): Promise<void>
  alarmOff(resource?: Resource): Promise<void>
  /** Messages in a queue, ready and unacknowledged together; exact at this moment, also for quorum queues. */
  queueDepth(queue: string, vhost?: string): Promise<number>
  /**
   * Value of TEST_RABBITMQ_CONTROL, with which other processes evaluate Erlang on the node; undefined without erl_call.
   */
  readonly control: string | undefined
  /** The text of the node's log so far. */
  log(): string
  /** Kills the node and its epmd and deletes its folder. */
  dispose(): Promise<void>
}

/** A resource that RabbitMQ watches. */
export type Resource = 'memory' | 'disk'

export type BrokerOptions = {
  /** Plugins to enable, e.g. `['rabbitmq_management']`. */
  plugins?: string[]
  /** Further lines for rabbitmq.conf. */
  config?: string
  /** Address of loopback on which it serves AMQP. Default: 127.0.0.1. */
  host?: string
}

const ERL_CALLS = ['/usr/lib/erlang/bin/erl_call', '/usr/bin/erl_call', '/usr/local/lib/erlang/bin/erl_call']

const SYNC_REGISTER = '[dets:sync(Table) || Table <- dets:all()]'

/** Erlang that puts a limit beyond what there is, and back to that of rabbitmq.conf. */
const ALARMS: Record<Resource, { readonly on: string; readonly off: string }> = {
  memory: {
    on: 'vm_memory_monitor:set_vm_memory_high_watermark(0.0)',
    off: 'vm_memory_monitor:set_vm_memory_high_watermark({absolute, "1GB"})',
  },
  disk: {
    on: 'rabbit_disk_monitor:set_disk_free_limit(1000000000000000)',
    off: 'rabbit_disk_monitor:set_disk_free_limit(50000000)',
  },
}

type Ran = { code: number | null; stdout: string; stderr: string }

const run = (file: string, args: string[], env: NodeJS.ProcessEnv, input = ''): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, stdio: 'pipe' })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })

/** Connection data of a node for erl_call. */
type Control = { readonly distPort: number; readonly cookie: string }

const erlCall = ERL_CALLS.find(existsSync)

const evaluateOn = async (
  { distPort, cookie }: Control,
  expression: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> => {
  const args = ['-address', `127.0.0.1:${distPort}`, '-c', cookie, '-e']
  let ran: Ran = { code: null, stdout: '', stderr: '' }
  // A call fails to connect now and then while another one does; nothing was evaluated then.
  const isConnected = async (): Promise<boolean> => {
    ran = await run(erlCall!, args, env, `${expression}.\n`)
    return !ran.stderr.includes('failed to connect to node')
  }
  await until(isConnected, { what: 'a connection of erl_call', timeoutMs: limit(5_000) }).catch(() => undefined)
  const { code, stdout, stderr } = ran
  const value = /^\{ok, ([\s\S]*)\}\s*$/.exec(stdout)?.[1]
  if (code !== 0 || value === undefined) throw new Error(`${expression}: ${stdout}${stderr}`)
  return value
}

const getQueueDepth = async (evaluate: Broker['evaluate'], queue: string, vhost = '/'): Promise<number> => {
  // A quorum queue reports its length only every five seconds, so its state machine is queried directly.
  const answer = await evaluate(`case rabbit_amqqueue:lookup(
      rabbit_misc:r(${erlangBinary(vhost)}, queue, ${erlangBinary(queue)})) of
    {ok, Q} -> case amqqueue:get_type(Q) of
      rabbit_quorum_queue ->
        case ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1) of
          {ok, {_, N}, _} -> N;
          _ -> leaderless
        end;
      _ -> proplists:get_value(messages, rabbit_amqqueue:info(Q, [messages]))
    end;
    {error, not_found} -> missing
  end`)
  if (!/^\d+$/.test(answer)) throw new Error(`queue ${queue}: ${answer}`)
  return Number(answer)
}

/** True if a broker responds to AMQP's greeting with Connection.Start; a listening port alone proves nothing. */
const greets = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, host)
    const done = (value: boolean): void => {
      socket.destroy()
      resolve(value)
    }
    let seen = Buffer.alloc(0)
    socket.setTimeout(2000, () => done(false))
    socket.once('error', () => done(false))
    socket.once('close', () => done(false))
    socket.once('connect', () => socket.write(Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')))
    socket.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk])
      if (seen.length >= 11) done(seen[0] === 1 && seen.readUInt32BE(7) === 0x000a000a)
    })
  })

const alive = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

const gone = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (alive(child)) child.once('exit', () => resolve())
    else resolve()
  })

const guard = (child: ChildProcess): void => {
  if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
}

/**
 * Starts a separate RabbitMQ node on loopback, with its own name, ports, data and epmd, in 10 to 20 s. Any number of
 * them can run at once. Nodes that are not disposed of end with the test process.
 * @throws Error with the node's output if it does not start
 */
export const startBroker = async (options: BrokerOptions = {}): Promise<Broker> => {
  for (let attempt = 1; ; attempt += 1) {
    const broker = await createNode(options)
    try {
      await broker.start()
      return broker
    } catch (error) {
      await broker.dispose()
      // Another process can take the free port before the node listens on it.
      if (attempt === 3 || !/eaddrinuse|address already in use/i.test(String(error))) throw error
    }
  }
}

/**
 * Starts nodes that form one cluster, on one epmd, in about 40 s. Each can be killed and restarted by itself.
 * @param hosts address of loopback of each node
 */
export const startCluster = async (hosts: readonly string[], ownConfig = ''): Promise<Broker[]> => {
  const size = hosts.length
  const [epmdPort, cookie] = [await freePort(), randomBytes(12).toString('hex')]
  const names = hosts.map(newNodeName)
  const config = [
    'cluster_formation.peer_discovery_backend = classic_config',
    ...names.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
    ownConfig,
  ].join('\n')
  const nodes = await Promise.all(
    names.map((name, index) => createNode({ config, host: hosts[index]! }, { name, cookie, epmdPort })),
  )
  try {
    // The first one starts the epmd of all; they wait for each other only to elect which of them begins.
    await Promise.all(nodes.map((node) => node.start()))
    const running = () => nodes[0]!.evaluate('length(rabbit_nodes:all_running())')
    await until(async () => (await running()) === String(size), { what: 'a cluster of all nodes' })
    return nodes
  } catch (error) {
    for (const node of nodes) await node.dispose()
    throw error
  }
}

const newNodeName = (): string => `t${randomBytes(6).toString('hex')}@localhost`

/** What the nodes of a cluster share, and the name of one. */
type Seat = { readonly name: string; readonly cookie: string; readonly epmdPort: number }

const createNode = async (options: BrokerOptions, seat?: Seat): Promise<Broker> => {
  const { plugins = [], config = '', host = '127.0.0.1' } = options
  const bin = RABBITMQ_BINS.find((folder) => existsSync(join(folder, 'rabbitmq-server')))
  if (!bin) throw new Error('RabbitMQ is not installed (apt-get install rabbitmq-server)')
  const dir = tempDir('gateway-rabbit-')
  const [port, distPort, managementPort] = [await freePort(), await freePort(), await freePort()]
  const { name, cookie, epmdPort } = seat ?? {
    name: newNodeName(),
    cookie: randomBytes(12).toString('hex'),
    epmdPort: await freePort(),
  }
  const management = plugins.includes('rabbitmq_management')
  for (const folder of ['home', 'mnesia', 'log']) mkdirSync(join(dir, folder))
  writeFileSync(join(dir, 'home', '.erlang.cookie'), cookie, { mode: 0o400 })
  writeFileSync(join(dir, 'enabled_plugins'), `[${plugins.join(',')}].\n`)
  writeFileSync(
    join(dir, 'rabbitmq.conf'),
    [
      'vm_memory_high_watermark.absolute = 1GB',
      'disk_free_limit.absolute = 50MB',
      ...(management ? ['management.tcp.ip = 127.0.0.1', `management.tcp.port = ${managementPort}`] : []),
      config,
      '',
    ].join('\n'),
  )
  const loopback = '-kernel inet_dist_use_interface {127,0,0,1}'
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    LANG: 'C.UTF-8',
    HOME: join(dir, 'home'),
    RABBITMQ_NODENAME: name,
    RABBITMQ_NODE_IP_ADDRESS: host,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_MNESIA_BASE: join(dir, 'mnesia'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
    RABBITMQ_PID_FILE: join(dir, 'pid'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    // Makes the start script exec the Erlang VM, so that the spawned process is the node itself.
    RABBITMQ_ALLOW_INPUT: 'true',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-noinput -start_epmd false +sbwt none +sbwtdcpu none +sbwtdio none ${loopback}`,
    RABBITMQ_CTL_ERL_ARGS: loopback,
    RABBITMQ_CTL_DIST_PORT_MAX: '36671',
  }
  const control: Control = { distPort, cookie }
  let epmd: ChildProcess | undefined
  let node: ChildProcess | undefined
  let output = ''

  const startEpmd = async (): Promise<void> => {
    if ((epmd && alive(epmd)) || (await accepts(epmdPort))) return
    const args = ['-port', String(epmdPort), '-address', '127.0.0.1']
    const child = spawn('epmd', args, { env, detached: true, stdio: 'ignore' })
    child.on('error', () => {})
    guard(child)
    epmd = child
    await until(() => accepts(epmdPort), { what: `epmd on port ${epmdPort}` })
  }

  const ctl = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(join(bin, 'rabbitmqctl'), args, env)
    if (code !== 0) throw new Error(`rabbitmqctl ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
    return stdout
  }

  const evaluate = async (expression: string): Promise<string> => {
    if (!erlCall) return (await ctl('eval', `${expression}.`)).trim()
    return evaluateOn(control, expression, env)
  }

  const isUp = async (child: ChildProcess): Promise<boolean> => {
    if (!alive(child)) return true
    return (await greets(host, port)) && (await evaluate('rabbit:is_running()')) === 'true'
  }

  const start = async (): Promise<void> => {
    if (node && alive(node)) return
    await startEpmd()
    output = ''
    // Ctrl-C is for this process, which ends its servers in order.
    const child = spawn(join(bin, 'rabbitmq-server'), [], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-20_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (error) => {
      output += String(error)
    })
    guard(child)
    node = child
    await until(() => isUp(child), { what: `RabbitMQ on port ${port}`, everyMs: 50 }).catch((error: Error) => {
      throw new Error(`${error.message}\n${output}`)
    })
    if (!alive(child)) throw new Error(`RabbitMQ ended while starting:\n${output}`)
  }

  const kill9 = async ({ raw = false }: { raw?: boolean } = {}): Promise<void> => {
    if (!node) return
    // A frozen or starting node cannot respond, and must be killed all the same.
    if (alive(node) && !raw) await within(evaluate(SYNC_REGISTER), 'the register', limit(2_000)).catch(() => {})
    if (alive(node)) node.kill('SIGKILL')
    await gone(node)
  }

  const setAlarm = async (resource: Resource, blocked: boolean): Promise<void> => {
    await evaluate(blocked ? ALARMS[resource].on : ALARMS[resource].off)
    const what = `the ${resource} alarm ${blocked ? 'on' : 'off'}`
    await until(async () => (await evaluate('rabbit_alarm:get_alarms()')).includes(resource) === blocked, { what })
  }

  return {
    url: `amqp://guest:guest@${host}:${port}`,
    host,
    port,
    name,
    managementUrl: management ? `http://127.0.0.1:${managementPort}` : undefined,
    get pid() {
      return node && alive(node) ? node.pid : undefined
    },
    kill9,
    async stop() {
      if (!node || !alive(node)) return
      node.kill('SIGTERM')
      await within(gone(node), 'the shutdown of RabbitMQ')
    },
    start,
    freeze: () => void node?.kill('SIGSTOP'),
    thaw: () => void node?.kill('SIGCONT'),
    ctl,
    evaluate,
    alarmOn: (resource = 'memory') => setAlarm(resource, true),
    alarmOff: (resource = 'memory') => setAlarm(resource, false),
    queueDepth: (queue, vhost) => getQueueDepth(evaluate, queue, vhost),
    control: erlCall && JSON.stringify(control),
    log() {
      const file = join(dir, 'log', `${name}.log`)
      return existsSync(file) ? readFileSync(file, 'utf8') : ''
    },
    async dispose() {
      await kill9({ raw: true })
      if (epmd) {
        epmd.kill('SIGKILL')
        await gone(epmd)
      }
      rmSync(dir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })

/** A text as an Erlang binary, for `evaluate`. */
export const erlangBinary = (text: string): string => `<<${[...Buffer.from(text)].join(',')}>>`

/** A broker that other tests use at the same time: never stop it, and use only names from `uniqueNames`. */
export type SharedBroker = { readonly url: string; dispose(): Promise<void> }

/**
 * The broker of TEST_RABBITMQ_URL (the runner's, or a user's own, which `dispose` leaves running), or else a private
 * one that `dispose` ends.
 */
export const sharedBroker = async (): Promise<SharedBroker> => {
  const url = process.env.TEST_RABBITMQ_URL
  if (url) return { url, dispose: async () => {} }
  const { url: own, dispose } = await startBroker()
  return { url: own, dispose }
}

/** A shared broker whose node can evaluate Erlang. Users, vhosts and policies need unique names. */
export type ControlledBroker = SharedBroker & Pick<Broker, 'port' | 'evaluate' | 'queueDepth'>

/** The runner's broker if it can be controlled, else a private one that `dispose` ends. */
export const controlledBroker = async (): Promise<ControlledBroker> => {
  const { TEST_RABBITMQ_URL: url, TEST_RABBITMQ_CONTROL: control } = process.env
  if (!url || !control || !erlCall) return startBroker()
  const evaluate = (expression: string): Promise<string> => evaluateOn(JSON.parse(control) as Control, expression)
  return {
    url,
    port: Number(new URL(url).port),
    evaluate,
    queueDepth: (queue, vhost) => getQueueDepth(evaluate, queue, vhost),
    dispose: async () => {},
  }
}

export type Names = { exchange: string; queue: string; binding: string }

/** Unique exchange and queue names; the binding is the default, since the exchange is unique. */
export const uniqueNames = (prefix: string): Names => {
  const id = `${prefix}-${randomBytes(6).toString('hex')}`
  return { exchange: `${id}.exchange`, queue: `${id}.queue`, binding: 'notifications.frontend.#' }
}

/**
 * Runs `work` with a raw channel of rabbitmq-client on a separate connection, and closes both.
 * @throws the error of `work`, or the connection's first error if it could not be opened
 */
export const withChannel = async <T>(url: string, work: (channel: Channel) => Promise<T>): Promise<T> => {
  const connection = new Connection({ url, connectionName: 'test', heartbeat: 10 })
  const refused = new Promise<never>((_resolve, reject) => connection.on('error', reject))
  refused.catch(() => {})
  try {
    const channel = await Promise.race([connection.acquire({ emitErrorsFromChannel: true }), refused])
    channel.on('error', () => {})
    try {
      return await work(channel)
    } finally {
      if (channel.active) await within(channel.close(), 'closing the channel', limit(5_000)).catch(() => {})
    }
  } finally {
    await within(connection.close(), 'closing the connection', limit(5_000)).catch(() => connection.unsafeDestroy())
  }
}

/** Sets a policy by which the queues of this name (a pattern) give a message up after more than `limit` failed deliveries. */
export const limitDeliveries = async (
  { evaluate }: Pick<ControlledBroker, 'evaluate'>,
  queue: string,
  { limit, end = '$' }: { readonly limit: number; readonly end?: string },
): Promise<void> => {
  const pattern = `^${queue.replaceAll('.', '\\.')}${end}`
  const texts = ['/', queue, pattern, `{"delivery-limit":${limit}}`, '0', 'queues', 'test'].map(erlangBinary)
  const answer = await evaluate(`rabbit_policy:parse_set(${texts.join()})`)
  if (answer !== 'ok') throw new Error(`the policy was not set: ${answer}`)
}

export const unlimitDeliveries = ({ evaluate }: Pick<ControlledBroker, 'evaluate'>, queue: string): Promise<string> =>
  evaluate(`rabbit_policy:delete(${['/', queue, 'test'].map(erlangBinary).join()})`)

/**
 * Returns the messages ready for delivery (without unacknowledged ones) and the consumers of a queue on any broker, by
 * a passive declaration; undefined if there is no such queue.
 */
export const queueReady = (url: string, queue: string): Promise<{ messages: number; consumers: number } | undefined> =>
  withChannel(url, async (channel) => {
    try {
      const { messageCount, consumerCount } = await channel.queueDeclare({ queue, passive: true })
      return { messages: messageCount, consumers: consumerCount }
    } catch (error) {
      if ((error as { code?: string }).code === 'NOT_FOUND') return undefined
      throw error
    }
  })

/** Deletes a test's exchange and queue, with their dead-letter counterparts, if they exist. */
export const deleteNames = (url: string, { exchange, queue }: Pick<Names, 'exchange' | 'queue'>): Promise<void> =>
  withChannel(url, async (channel) => {
    for (const name of [queue, `${queue}.dead`, `${queue}.parked`]) await channel.queueDelete({ queue: name })
    for (const name of [exchange, `${exchange}.dead`, `${exchange}.parked`])
      await channel.exchangeDelete({ exchange: name })
  })
