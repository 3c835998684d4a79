import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { killAtExit } from '../harness/cleanup.ts'
import { nginxPath } from '../harness/provision.ts'
import { freePort, tempDir, until } from '../harness/wait.ts'
import { ROOT } from './gateway.ts'

/** An nginx with the configuration from the repository. */
export interface Nginx {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** Contents of its error log. */
  errors(): string
  dispose(): Promise<void>
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/**
 * Starts nginx with deploy/nginx.conf, changing only the two gateways' addresses and its own port.
 *
 * @param gateways `host:port` of each
 */
export const startNginx = async (gateways: readonly [string, string]): Promise<Nginx> => {
  const dir = tempDir('gateway-nginx-')
  const port = await freePort()
  const own = readFileSync(join(ROOT, 'deploy', 'nginx.conf'), 'utf8')
  const conf = own
    .replace('server gateway-1:8080', `server ${gateways[0]}`)
    .replace('server gateway-2:8080', `server ${gateways[1]}`)
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
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
  const child = spawn(nginxPath()!, ['-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'nginx.conf')], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const spare = killAtExit(-child.pid!)
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const errors = (): string => {
    try {
      return text + readFileSync(join(dir, 'error.log'), 'utf8')
    } catch {
      return text
    }
  }
  await until(() => accepts(port), { what: 'nginx' }).catch((error: Error) => {
    throw new Error(`${error.message}\n${errors()}`)
  })
  return {
    url: `http://127.0.0.1:${port}`,
    errors,
    dispose: async () => {
      process.kill(-child.pid!, 'SIGKILL')
      await ended
      spare()
    },
  }
}
