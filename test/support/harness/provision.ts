import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { FULL } from './tier.ts'

export type Need =
  | 'rabbitmq'
  | 'chromium'
  | 'firefox'
  | 'pika'
  | 'sqlalchemy'
  | 'deepsoc'
  | 'postgres'
  | 'openssl'
  | 'strace'
  | 'nginx'
  | 'pgbouncer'
  | 'haproxy'
  | 'apache'
  | 'caddy'
  | 'varnish'
  | 'lighttpd'
  | 'go'
  | 'java'
  | 'php'
  | 'stomp'
  | 'mosquitto'
  | 'docker'

type Recipe = {
  /** Debian packages, separated by spaces. */
  apt: string
  /** Fedora packages; undefined if there is no such program. */
  dnf: string | undefined
  /** The complete command on macOS; undefined if there is no such program. */
  mac: string | undefined
  /** Environment variable to set instead. */
  override: string
  present: () => boolean
}

const POLICY = '/usr/sbin/policy-rc.d'
const POLICY_KEPT = `${POLICY}.kept-by-tests`

/** Folders that may contain RabbitMQ's own scripts (not a distribution's user-changing wrappers). */
export const RABBITMQ_BINS = [
  '/usr/lib/rabbitmq/bin',
  '/opt/rabbitmq/sbin',
  '/opt/homebrew/opt/rabbitmq/sbin',
  '/usr/local/opt/rabbitmq/sbin',
]

const HEADLESS_SHELL = '/usr/bin/chromium-headless-shell'

const CHROMIUMS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

/** The Firefox to launch: TEST_FIREFOX, an installed one, or undefined. */
export const firefoxPath = (): string | undefined =>
  process.env.TEST_FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync)

/** True if this process can install packages: as root on Debian, unless TEST_INSTALL=0. */
const canInstall = (): boolean =>
  process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') && process.env.TEST_INSTALL !== '0'

/**
 * The Chromium to launch: TEST_CHROMIUM, an installed one, or undefined. The full tier uses a whole Chromium; the short
 * one prefers its headless shell, which opens a page in half the processor time.
 */
export const chromiumPath = (): string | undefined =>
  process.env.TEST_CHROMIUM ?? (FULL ? CHROMIUMS : [HEADLESS_SHELL, ...CHROMIUMS]).find(existsSync)

/** A Python that can import these modules: TEST_PYTHON, the system's, or the first on PATH; undefined if there is none. */
const pythonWith = (modules: string): string | undefined =>
  [process.env.TEST_PYTHON, '/usr/bin/python3', 'python3'].find(
    (python) =>
      python !== undefined && spawnSync(python, ['-c', `import ${modules}`], { stdio: 'ignore' }).status === 0,
  )

export const stompPython = (): string | undefined => pythonWith('stomp')

export const pikaPython = (): string | undefined => pythonWith('pika')

/** A Python with what the bridge for DeepSOC imports. */
export const bridgePython = (): string | undefined => pythonWith('pika, sqlalchemy, dotenv')

/** A Python with the packages of DeepSOC that Debian has. */
export const deepsocPython = (): string | undefined =>
  pythonWith('flask_socketio, flask_sqlalchemy, flask_migrate, jwt, dotenv, pika, pymysql, requests, yaml')

/** The folder of PostgreSQL's server programs, highest version first, or undefined. */
export const postgresBin = (): string | undefined => {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  const bins = [
    ...versions.map((version) => `${root}/${version}/bin`),
    '/usr/bin',
    '/opt/homebrew/opt/postgresql@17/bin',
    '/usr/local/opt/postgresql@17/bin',
  ]
  return bins.find((bin) => existsSync(`${bin}/initdb`))
}

/** Folders of the client libraries for Go and Java in Debian's packages. */
export const GO_PATH = '/usr/share/gocode'
export const JAVA_CLASSES = ['amqp-client', 'slf4j-api'].map((name) => `/usr/share/java/${name}.jar`)

const isInstalled = (program: string): boolean =>
  ['/usr/sbin', '/usr/bin'].some((folder) => existsSync(`${folder}/${program}`))

const runs = (program: string, argument: string): boolean =>
  spawnSync(program, [argument], { stdio: 'ignore' }).status === 0

/** The nginx to run: TEST_NGINX, an installed one, or undefined. */
export const nginxPath = (): string | undefined =>
  process.env.TEST_NGINX ??
  ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/opt/homebrew/bin/nginx', '/usr/local/bin/nginx'].find(existsSync)

/** A program of Debian, by its name; several packages are only known there. */
const program = (name: string, apt: string, others: { dnf?: string; mac?: string } = {}): Recipe => {
  const same = apt.includes(' ') ? undefined : apt
  return {
    apt,
    dnf: others.dnf ?? same,
    mac: others.mac ?? (same && `brew install ${same}`),
    override: `PATH to a folder with ${name}`,
    present: () => isInstalled(name),
  }
}

const RECIPES: Record<Need, Recipe> = {
  rabbitmq: {
    apt: 'rabbitmq-server',
    dnf: 'rabbitmq-server',
    mac: 'brew install rabbitmq',
    override: 'TEST_RABBITMQ_URL to a running server',
    present: () => !!process.env.TEST_RABBITMQ_URL || RABBITMQ_BINS.some((bin) => existsSync(`${bin}/rabbitmq-server`)),
  },
  chromium: {
    apt: FULL ? 'chromium' : 'chromium-headless-shell',
    dnf: 'chromium',
    mac: 'brew install --cask chromium',
    override: 'TEST_CHROMIUM to its executable',
    present: () => {
      const path = chromiumPath()
      // The headless shell is worth installing even next to a whole Chromium.
      return path !== undefined && (FULL || !CHROMIUMS.includes(path) || !canInstall())
    },
  },
  firefox: {
    apt: 'firefox-esr',
    dnf: 'firefox',
    mac: 'brew install --cask firefox',
    override: 'TEST_FIREFOX to its executable',
    present: () => firefoxPath() !== undefined,
  },
  pika: {
    apt: 'python3-pika',
    dnf: 'python3-pika',
    mac: 'python3 -m pip install pika',
    override: 'TEST_PYTHON to a Python that has pika',
    present: () => pikaPython() !== undefined,
  },
  sqlalchemy: {
    apt: 'python3-pika python3-sqlalchemy python3-dotenv',
    dnf: 'python3-pika python3-sqlalchemy python3-dotenv',
    mac: 'python3 -m pip install pika sqlalchemy python-dotenv',
    override: 'TEST_PYTHON to a Python that has pika, sqlalchemy and dotenv',
    present: () => bridgePython() !== undefined,
  },
  deepsoc: {
    apt: 'python3-flask-socketio python3-flask-migrate python3-jwt python3-dotenv python3-pika python3-pymysql python3-requests python3-yaml',
    dnf: 'python3-flask-socketio python3-flask-migrate python3-jwt python3-dotenv python3-pika python3-PyMySQL python3-requests python3-pyyaml',
    mac: 'python3 -m pip install flask-socketio flask-migrate pyjwt python-dotenv pika pymysql requests pyyaml',
    override: 'TEST_PYTHON to a Python that has these packages',
    // Without a checkout nothing of it runs.
    present: () => !process.env.DEEPSOC_DIR || deepsocPython() !== undefined,
  },
  postgres: {
    apt: 'postgresql',
    dnf: 'postgresql-server',
    mac: 'brew install postgresql@17',
    override: 'TEST_POSTGRES_URL to a running server, with a superuser',
    present: () => !!process.env.TEST_POSTGRES_URL || postgresBin() !== undefined,
  },
  openssl: {
    apt: 'openssl',
    dnf: 'openssl',
    mac: 'brew install openssl',
    override: 'PATH to a folder with openssl',
    present: () => runs('openssl', 'version'),
  },
  strace: {
    apt: 'strace',
    dnf: 'strace',
    mac: undefined,
    override: 'PATH to a folder with strace',
    present: () => runs('strace', '-V'),
  },
  docker: {
    apt: 'docker.io iptables mmdebstrap docker-compose',
    dnf: 'moby-engine iptables mmdebstrap docker-compose',
    mac: undefined,
    override: 'TEST_DOCKER_HOST to a running engine that can pull images',
    present: () => !!process.env.TEST_DOCKER_HOST || ['dockerd', 'mmdebstrap', 'docker-compose'].every(isInstalled),
  },
  nginx: {
    apt: 'nginx-light',
    dnf: 'nginx',
    mac: 'brew install nginx',
    override: 'TEST_NGINX to its executable',
    present: () => nginxPath() !== undefined,
  },
  pgbouncer: {
    apt: 'pgbouncer',
    dnf: 'pgbouncer',
    mac: 'brew install pgbouncer',
    override: 'PATH to a folder with pgbouncer',
    present: () => isInstalled('pgbouncer') || runs('pgbouncer', '--version'),
  },
  haproxy: program('haproxy', 'haproxy'),
  apache: program('apache2', 'apache2', { dnf: 'httpd', mac: 'brew install httpd' }),
  caddy: program('caddy', 'caddy'),
  varnish: program('varnishd', 'varnish'),
  lighttpd: program('lighttpd', 'lighttpd'),
  go: {
    ...program('go', 'golang-go golang-github-rabbitmq-amqp091-go-dev'),
    present: () => existsSync(`${GO_PATH}/src/github.com/rabbitmq/amqp091-go`) && isInstalled('go'),
  },
  java: {
    ...program('java', 'default-jdk-headless librabbitmq-client-java libslf4j-java'),
    present: () => JAVA_CLASSES.every(existsSync) && isInstalled('javac'),
  },
  php: {
    ...program('php', 'php-cli php-bcmath php-mbstring php-amqplib'),
    present: () => existsSync('/usr/share/php/PhpAmqpLib/autoload.php') && isInstalled('php'),
  },
  stomp: {
    ...program('python3', 'python3-stomp'),
    present: () => stompPython() !== undefined,
  },
  mosquitto: program('mosquitto_pub', 'mosquitto-clients', { dnf: 'mosquitto', mac: 'brew install mosquitto' }),
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

/** Runs `work` while packages cannot start services, and then restores the previous policy in any case. */
const withoutServices = async (work: () => Promise<void>): Promise<void> => {
  // An existing backup is the original: an earlier run was killed before it could restore it.
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

/** The commands that install a missing program, one per package manager. */
const commandsFor = ({ apt, dnf, mac, override }: Recipe): string =>
  [
    `  Debian, Ubuntu   sudo apt-get install ${apt}`,
    `  Fedora           ${dnf === undefined ? 'not available' : `sudo dnf install ${dnf}`}`,
    `  macOS            ${mac ?? 'not available'}`,
    `  or set ${override}`,
  ].join('\n')

/**
 * Ensures that a program for tests is available: from the environment, already installed, or, as root on Debian,
 * installed now without starting its services.
 * @throws Error with the commands to run if it cannot be installed
 */
export const provision = async (need: Need): Promise<void> => {
  const recipe = RECIPES[need]
  if (recipe.present()) return
  if (!canInstall()) throw new Error(`${need} is not installed:\n${commandsFor(recipe)}`)
  process.stdout.write(`installing ${recipe.apt} with apt-get\n`)
  updated ??= apt(['update'])
  await updated
  await withoutServices(() => apt(['install', '--no-install-recommends', ...recipe.apt.split(' ')]))
  if (!recipe.present()) throw new Error(`${need} is not found although ${recipe.apt} is installed`)
}

/** Provisions all needs. @returns a message for each that is missing */
export const provisionAll = async (needs: Iterable<Need>): Promise<Map<string, string>> => {
  const missing = new Map<string, string>()
  for (const need of needs) await provision(need).catch((error: Error) => missing.set(need, error.message))
  return missing
}
