import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { killAtExit, killNow } from '../harness/cleanup.ts'
import { nginxPath } from '../harness/provision.ts'
import { freePort, tempDir, until } from '../harness/wait.ts'
import { ROOT } from './gateway.ts'

/** An nginx with the configuration from the repository. */
export interface Nginx {
  /** `http://HOST:PORT` */
  readonly url: string
  /** Contents of its error log. */
  errors(): string
  /** True if the process is running. */
  readonly running: boolean
  /** Sends SIGKILL to all its processes; `start` starts it on the same port. */
  kill9(): Promise<void>
  start(): Promise<void>
  dispose(): Promise<void>
}

const accepts = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/** Text of a configuration in the repository's folder deploy, with each text replaced. @throws Error if one is missing */
const configWith = (file: string, replacements: Readonly<Record<string, string>>): string => {
  let text = readFileSync(join(ROOT, 'deploy', file), 'utf8')
  for (const [before, after] of Object.entries(replacements)) {
    if (!text.includes(before)) throw new Error(`deploy/${file} has no ${before}`)
    text = text.replace(before, after)
  }
  return text
}

const serverLines = (servers: readonly string[]): string =>
  servers.map((server) => `server ${server} max_fails=0;`).join('\n  ')

/**
 * Starts nginx with deploy/nginx.conf, changing only the gateways' addresses, its own address, and the path in front of
 * each location. Answers have the header X-Gateway with the address of the gateway that served them.
 *
 * @param gateways `host:port` of each, at least two
 * @param basePath BASE_PATH of the gateways
 */
export const startNginx = async (
  gateways: readonly string[],
  { basePath = '', host = '127.0.0.1' }: { readonly basePath?: string; readonly host?: string } = {},
): Promise<Nginx> => {
  const port = await freePort()
  const [first, ...others] = gateways
  const conf = configWith('nginx.conf', {
    'server gateway-1:8080': `server ${first}`,
    'server gateway-2:8080 max_fails=0;': serverLines(others),
    'listen 80;': `listen ${host}:${port};\n  add_header X-Gateway $upstream_addr always;`,
    'location / {': `location ${basePath}/ {`,
    'location ~ ^/api/': `location ~ ^${basePath}/api/`,
    'location = /metrics {': `location = ${basePath}/metrics {`,
  })
  return runNginx(conf, port, host)
}

/**
 * Starts nginx with deploy/edge.nginx.conf, changing only addresses and the port.
 *
 * @param edges `host:port` of each, at least two
 */
export const startEdgeNginx = async ([first, ...others]: readonly string[]): Promise<Nginx> => {
  const port = await freePort()
  const conf = configWith('edge.nginx.conf', {
    'server edge:8080': `server ${first}`,
    '# server edge-2:8080 max_fails=0;': serverLines(others),
    'listen 80;': `listen 127.0.0.1:${port};`,
  })
  return runNginx(conf, port)
}

/**
 * Starts nginx with deploy/deepsoc.nginx.conf, changing only addresses and the port.
 *
 * @param addresses `host:port` of DeepSOC and of the gateway, whose BASE_PATH is /gateway
 */
export const startDeepsocNginx = async (addresses: {
  readonly gateway: string
  readonly deepsoc: string
}): Promise<Nginx> => {
  const port = await freePort()
  const conf = configWith('deepsoc.nginx.conf', {
    'server 127.0.0.1:5007;': `server ${addresses.deepsoc};`,
    'server 127.0.0.1:8080;': `server ${addresses.gateway};`,
    'listen 80;': `listen 127.0.0.1:${port};`,
  })
  return runNginx(conf, port)
}

const runNginx = async (conf: string, port: number, host = '127.0.0.1'): Promise<Nginx> => {
  const dir = tempDir('gateway-nginx-')
  writeFileSync(join(dir, 'default.conf'), conf)
  mkdirSync(join(dir, 'tmp'))
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${dir}/tmp/${name};`,
  )
  // A short version of Debian's main file; as root it would run its workers as a user without access to `dir`.
  const main = `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log warn;
events { worker_connections 1024; }
http { access_log off; ${temps.join(' ')} include ${dir}/default.conf; }
`
  writeFileSync(join(dir, 'nginx.conf'), main)
  let kill9 = async (): Promise<void> => undefined
  let text = ''
  let running = false
  const errors = (): string => {
    try {
      return text + readFileSync(join(dir, 'error.log'), 'utf8')
    } catch {
      return text
    }
  }
  const start = async (): Promise<void> => {
    const child = spawn(nginxPath()!, ['-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'nginx.conf')], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const spare = killAtExit(-child.pid!)
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    running = true
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    ended.then(() => (running = false))
    kill9 = async () => {
      killNow(-child.pid!)
      await ended
      spare()
    }
    await until(() => accepts(host, port), { what: 'nginx' }).catch((error: Error) => {
      throw new Error(`${error.message}\n${errors()}`)
    })
  }
  await start()
  return {
    url: `http://${host}:${port}`,
    errors,
    get running() {
      return running
    },
    kill9: () => kill9(),
    start,
    dispose: () => kill9(),
  }
}
