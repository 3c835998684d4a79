import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'

export type Need = 'rabbitmq' | 'chromium' | 'pika' | 'postgres' | 'openssl' | 'strace' | 'nginx' | 'docker'

/** `package`: one or several, separated by spaces. */
type Recipe = { package: string; override: string; present: () => boolean }

const POLICY = '/usr/sbin/policy-rc.d'
const POLICY_KEPT = `${POLICY}.kept-by-tests`

/** The folders in which RabbitMQ's own scripts (not a distribution's user-changing wrappers) may lie. */
export const RABBITMQ_BINS = ['/usr/lib/rabbitmq/bin', '/opt/rabbitmq/sbin', '/opt/homebrew/opt/rabbitmq/sbin']

const CHROMIUMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** The Chromium to launch: TEST_CHROMIUM, or an installed one, or undefined. */
export const chromiumPath = (): string | undefined => process.env.TEST_CHROMIUM ?? CHROMIUMS.find(existsSync)

/** A Python that can import pika: TEST_PYTHON, the system's, the first on PATH; undefined if none can. */
export const pikaPython = (): string | undefined =>
  [process.env.TEST_PYTHON, '/usr/bin/python3', 'python3'].find(
    (python) => python !== undefined && spawnSync(python, ['-c', 'import pika'], { stdio: 'ignore' }).status === 0,
  )

/** The folder of PostgreSQL's server programs, the highest version first, or undefined. */
export const postgresBin = (): string | undefined => {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  return versions.map((version) => `${root}/${version}/bin`).find((bin) => existsSync(`${bin}/initdb`))
}

const isInstalled = (program: string): boolean =>
  ['/usr/sbin', '/usr/bin'].some((folder) => existsSync(`${folder}/${program}`))

/** The nginx to run: TEST_NGINX, or an installed one, or undefined. */
export const nginxPath = (): string | undefined =>
  process.env.TEST_NGINX ?? ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/opt/homebrew/bin/nginx'].find(existsSync)

const RECIPES: Record<Need, Recipe> = {
  rabbitmq: {
    package: 'rabbitmq-server',
    override: 'TEST_RABBITMQ_URL to a running server',
    present: () => !!process.env.TEST_RABBITMQ_URL || RABBITMQ_BINS.some((bin) => existsSync(`${bin}/rabbitmq-server`)),
  },
  chromium: {
    package: 'chromium',
    override: 'TEST_CHROMIUM to its executable',
    present: () => chromiumPath() !== undefined,
  },
  pika: {
    package: 'python3-pika',
    override: 'TEST_PYTHON to a Python that has pika',
    present: () => pikaPython() !== undefined,
  },
  postgres: {
    package: 'postgresql',
    override: 'TEST_POSTGRES_URL to a running server',
    present: () => !!process.env.TEST_POSTGRES_URL || postgresBin() !== undefined,
  },
  openssl: {
    package: 'openssl',
    override: 'PATH to a folder with openssl',
    present: () => spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0,
  },
  strace: {
    package: 'strace',
    override: 'PATH to a folder with strace',
    present: () => spawnSync('strace', ['-V'], { stdio: 'ignore' }).status === 0,
  },
  docker: {
    package: 'docker.io iptables mmdebstrap docker-compose',
    override: 'TEST_DOCKER_HOST to a running engine that can pull images',
    present: () => !!process.env.TEST_DOCKER_HOST || ['dockerd', 'mmdebstrap', 'docker-compose'].every(isInstalled),
  },
  nginx: {
    package: 'nginx-light',
    override: 'TEST_NGINX to its executable',
    present: () => nginxPath() !== undefined,
  },
}

export const isNeed = (name: string): name is Need => Object.hasOwn(RECIPES, name)

const apt = (args: string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-q', '-y', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`apt-get ${args.join(' ')} ended with ${code}:\n${output}`)),
    )
  })

let updated: Promise<void> | undefined

/** Runs `work` while no package may start a service, and puts back what policy there was, whatever happens. */
const withoutServices = async (work: () => Promise<void>): Promise<void> => {
  // A kept one that is still there is the true one: an earlier run was killed before it could put it back.
  if (existsSync(POLICY) && !existsSync(POLICY_KEPT)) renameSync(POLICY, POLICY_KEPT)
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n')
  chmodSync(POLICY, 0o755)
  const restore = (): void => {
    rmSync(POLICY, { force: true })
    if (existsSync(POLICY_KEPT)) renameSync(POLICY_KEPT, POLICY)
  }
  const interrupted = (): void => process.exit(130)
  process.once('exit', restore).once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    await work()
  } finally {
    process.off('exit', restore).off('SIGINT', interrupted).off('SIGTERM', interrupted)
    restore()
  }
}

/**
 * Sees to it that the programs which tests need are there: given by the environment, installed already, or, as root
 * on Debian, installed now without starting their services.
 * @throws Error with the command to run where it may not install
 */
export const provision = async (needs: Need[]): Promise<void> => {
  const missing = [...new Set(needs)].map((need) => RECIPES[need]).filter((recipe) => !recipe.present())
  if (missing.length === 0) return
  const packages = missing.flatMap((recipe) => recipe.package.split(' '))
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    const overrides = missing.map((recipe) => recipe.override).join(', ')
    throw new Error(`missing: run "sudo apt-get install ${packages.join(' ')}", or set ${overrides}`)
  }
  process.stdout.write(`installing ${packages.join(', ')} with apt-get\n`)
  updated ??= apt(['update'])
  await updated
  await withoutServices(() => apt(['install', '--no-install-recommends', ...packages]))
  const still = missing.filter((recipe) => !recipe.present())
  if (still.length > 0) throw new Error(`installed, yet not found: ${still.map((recipe) => recipe.package).join(', ')}`)
}
