import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { killAtExit, removeAtExit } from '../harness/cleanup.ts'
import { tempDir, until } from '../harness/wait.ts'
import { ROOT } from './gateway.ts'

/** A docker command, run until it exits. */
export type Ran = { code: number | null; stdout: string; stderr: string }

/** The tests' own engine, or the one that TEST_DOCKER_HOST names. */
export interface Docker {
  /** @throws Error with the output if it fails */
  run(...args: string[]): string
  /** The same without throwing. */
  try(...args: string[]): Ran
  /** True if images come from a registry; otherwise from what was loaded into the engine. */
  readonly pulls: boolean
  dispose(): Promise<void>
}

const SUITE = 'bookworm'
/** Kept between runs; `npm ci` deletes it. */
const BASE = join(ROOT, 'node_modules', '.cache', 'docker-test', `${SUITE}-${process.arch}.tar`)

const DOCKER = ['/usr/bin/docker', '/usr/local/bin/docker'].find(existsSync) ?? 'docker'

const createClient = (host: string): Pick<Docker, 'run' | 'try'> => {
  const attempt = (...args: string[]): Ran => {
    // The classic builder: Debian's engine has no other.
    const env = { ...process.env, DOCKER_BUILDKIT: '0' }
    const done = spawnSync(DOCKER, ['-H', host, ...args], { env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
    return { code: done.status, stdout: done.stdout, stderr: done.stderr }
  }
  return {
    try: attempt,
    run: (...args) => {
      const { code, stdout, stderr } = attempt(...args)
      if (code !== 0)
        throw new Error(
          `docker ${args.join(' ')} ended with ${code}:\n${stdout.slice(-3_000)}\n${stderr.slice(-3_000)}`,
        )
      return stdout.trim()
    },
  }
}

/**
 * Starts dockerd with its own data, socket and runtime, without changing the network of this machine.
 *
 * @throws Error with its log if it does not start
 */
export const startDocker = async (): Promise<Docker> => {
  const given = process.env.TEST_DOCKER_HOST
  if (given) return { ...createClient(given), pulls: true, dispose: async () => {} }
  const dir = mkdtempSync(join(tmpdir(), 'gateway-docker-'))
  const host = `unix://${dir}/sock`
  const off = [
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--userland-proxy=false',
  ]
  const child = spawn(
    '/usr/sbin/dockerd',
    ['-H', host, '--data-root', `${dir}/data`, '--exec-root', `${dir}/exec`, '--pidfile', `${dir}/pid`, ...off],
    { detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log = (log + chunk).slice(-20_000)))
  const spare = killAtExit(-child.pid!)
  removeAtExit(dir)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const client = createClient(host)
  const up = () => child.exitCode !== null || client.try('version').code === 0
  await until(up, { what: 'dockerd', everyMs: 200 }).catch(() => undefined)
  if (child.exitCode !== null || client.try('version').code !== 0) {
    process.kill(-child.pid!, 'SIGKILL')
    throw new Error(`dockerd does not run here:\n${log.slice(-2_000)}`)
  }
  return {
    ...client,
    pulls: false,
    dispose: async () => {
      const left = client.try('ps', '-aq').stdout.split('\n').filter(Boolean)
      if (left.length > 0) client.try('rm', '-f', ...left)
      child.kill('SIGTERM')
      await ended
      spare()
      unmountBelow(dir)
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** The engine leaves its network namespace mounted. */
const unmountBelow = (dir: string): void => {
  for (const [, place] of readFileSync('/proc/self/mounts', 'utf8').matchAll(/^\S+ (\S+) /gm)) {
    if (place!.startsWith(`${dir}/`)) execFileSync('umount', ['--lazy', place!])
  }
}

/** The packages that the Dockerfile uses of debian:bookworm-slim, and those that the executable loads. */
const PACKAGES = ['base-files', 'base-passwd', 'dash', 'coreutils', 'passwd', 'libstdc++6']

/**
 * Builds a Debian image from its packages. They are only unpacked: running their scripts takes as long as all the rest,
 * and the tests need only the users that these create.
 */
const makeBase = (): void => {
  if (existsSync(BASE)) return
  mkdirSync(dirname(BASE), { recursive: true })
  // mmdebstrap creates a folder unless the name ends with .tar.
  const made = BASE.replace(/tar$/, `${process.pid}.tar`)
  const args = [
    '--variant=extract',
    `--include=${PACKAGES.join(',')}`,
    '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
    '--customize-hook=for name in passwd group; do cp "$1/usr/share/base-passwd/$name.master" "$1/etc/$name"; done',
    ...['doc', 'man', 'locale'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  ]
  try {
    execFileSync('mmdebstrap', [...args, SUITE, made], { stdio: 'pipe' })
    renameSync(made, BASE)
  } finally {
    rmSync(made, { force: true })
  }
}

/**
 * Loads the two base images of the Dockerfile into the engine if it cannot pull them: Debian from its packages, and the
 * same with the Node and npm of this machine.
 */
export const provideBases = (docker: Docker): void => {
  if (docker.pulls) return
  makeBase()
  docker.run('import', BASE, 'debian:bookworm-slim')
  const context = tempDir('gateway-docker-node-')
  cpSync(process.execPath, join(context, 'node'))
  const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())))
  cpSync(npm, join(context, 'npm'), { recursive: true })
  // Reuse packages that npm has already downloaded for this repository.
  const cache = join(process.env.npm_config_cache ?? join(homedir(), '.npm'), '_cacache')
  mkdirSync(join(context, 'cache'))
  if (existsSync(cache)) cpSync(cache, join(context, 'cache', '_cacache'), { recursive: true })
  mkdirSync(join(context, 'certs'))
  const authorities = '/etc/ssl/certs/ca-certificates.crt'
  writeFileSync(join(context, 'certs', 'ca-certificates.crt'), existsSync(authorities) ? readFileSync(authorities) : '')
  writeFileSync(
    join(context, 'Dockerfile'),
    `FROM debian:bookworm-slim
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
COPY certs /etc/ssl/certs
COPY cache /root/.npm
ENV NODE_EXTRA_CA_CERTS=${authorities} npm_config_prefer_offline=true npm_config_audit=false
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
`,
  )
  docker.run('build', '-t', 'node:24-bookworm', context)
}
