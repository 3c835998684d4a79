import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { killAtExit } from '../harness/cleanup.ts'
import type { Need } from '../harness/provision.ts'
import { freePort, tempDir, until } from '../harness/wait.ts'
import { ROOT } from './gateway.ts'

/** A running proxy with its configuration from deploy/. */
export interface RunningProxy {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  dispose(): Promise<void>
}

interface Addresses {
  /** A folder of its own, with the configuration `conf`. */
  readonly dir: string
  readonly port: number
}

/** How a proxy is started with its configuration. */
export interface ProxyRecipe {
  readonly name: string
  readonly need: Need
  /** Its configuration in deploy/, in which it listens on port 80 or on gateway.example. */
  readonly file: string
  /** Text of the configuration that is replaced by the address to listen on. */
  readonly listen: string
  /** Replaces `listen`. */
  readonly address: (addresses: Addresses) => string
  /** What the configuration of a system has besides; `conf` stands for the file. */
  readonly main?: (addresses: Addresses) => string
  /** Command in the foreground. */
  readonly command: (addresses: Addresses) => readonly string[]
}

const apacheModules = ['mpm_event', 'authz_core', 'headers', 'setenvif', 'filter', 'deflate', 'proxy', 'proxy_http']

export const PROXIES: readonly ProxyRecipe[] = [
  {
    name: 'HAProxy',
    need: 'haproxy',
    file: 'haproxy.cfg',
    listen: 'bind :80',
    address: ({ port }) => `bind 127.0.0.1:${port}`,
    command: ({ dir }) => ['/usr/sbin/haproxy', '-db', '-f', `${dir}/conf`],
  },
  {
    name: 'Apache',
    need: 'apache',
    file: 'apache.conf',
    listen: '<VirtualHost *:80>',
    address: ({ port }) => `<VirtualHost 127.0.0.1:${port}>`,
    main: ({ dir, port }) =>
      [
        ...apacheModules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
        `Listen 127.0.0.1:${port}`,
        // Not root, as which Apache does not run its workers.
        ...(process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : []),
        `ServerRoot ${dir}`,
        `PidFile ${dir}/pid`,
        `ErrorLog ${dir}/error.log`,
        `DefaultRuntimeDir ${dir}`,
        // As Debian's configuration of mod_deflate has it, and for streams too.
        'AddOutputFilterByType DEFLATE text/html text/event-stream application/json',
        `Include ${dir}/conf`,
      ].join('\n'),
    command: ({ dir }) => ['/usr/sbin/apache2', '-D', 'FOREGROUND', '-f', `${dir}/main`],
  },
  {
    name: 'Caddy',
    need: 'caddy',
    file: 'Caddyfile',
    listen: 'gateway.example {',
    address: ({ port }) => `{\n\tadmin off\n}\nhttp://127.0.0.1:${port} {`,
    command: ({ dir }) => ['/usr/bin/caddy', 'run', '--adapter', 'caddyfile', '--config', `${dir}/conf`],
  },
  {
    name: 'lighttpd',
    need: 'lighttpd',
    file: 'lighttpd.conf',
    listen: 'server.port = 80',
    address: ({ port }) => `server.bind = "127.0.0.1"\nserver.port = ${port}`,
    command: ({ dir }) => ['/usr/sbin/lighttpd', '-D', '-f', `${dir}/conf`],
  },
  {
    name: 'Varnish',
    need: 'varnish',
    file: 'varnish.vcl',
    listen: '',
    address: () => '',
    command: ({ dir, port }) => [
      '/usr/sbin/varnishd',
      '-F',
      '-j',
      'none',
      '-n',
      `${dir}/work`,
      '-a',
      `127.0.0.1:${port}`,
      '-f',
      `${dir}/conf`,
    ],
  },
]

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/** Starts a proxy with its configuration, in which only the addresses are changed. @param gateway URL of the gateway */
export const startProxy = async (recipe: ProxyRecipe, gateway: string): Promise<RunningProxy> => {
  const addresses = { dir: tempDir('gateway-proxy-'), port: await freePort() }
  const { dir, port } = addresses
  const own = readFileSync(join(ROOT, 'deploy', recipe.file), 'utf8')
  const adapted = own
    .replace(recipe.listen, recipe.address(addresses))
    .replaceAll(/\b8080\b/g, new URL(gateway).port)
    .replace('/var/www/html', dir)
  writeFileSync(join(dir, 'conf'), adapted)
  if (recipe.main !== undefined) writeFileSync(join(dir, 'main'), recipe.main(addresses))
  mkdirSync(join(dir, 'work'))
  const [program, ...args] = recipe.command(addresses)
  const child = spawn(program!, args, {
    cwd: dir,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
  })
  const spare = killAtExit(-child.pid!)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await until(() => accepts(port), { what: recipe.name }).catch((error: Error) => {
    throw new Error(`${error.message}\n${output}`)
  })
  return {
    url: `http://127.0.0.1:${port}`,
    dispose: async () => {
      process.kill(-child.pid!, 'SIGKILL')
      await ended
      spare()
    },
  }
}
