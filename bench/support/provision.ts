import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { postgresBin, RABBITMQ_BINS } from '../../test/support/harness/provision.ts'

/** Programs of other people that the bench compares with. */
export type Program = 'rabbitmq' | 'postgres' | 'nchan' | 'flask' | 'pika'

const NGINX = '/usr/sbin/nginx'
const NCHAN_MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so'
/** The distribution's own Python: it alone sees the distribution's packages. */
export const PYTHON = '/usr/bin/python3'

const imports = (...modules: string[]): boolean =>
  spawnSync(PYTHON, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' }).status === 0

const PROGRAMS: Record<Program, { packages: string[]; present: () => boolean }> = {
  rabbitmq: {
    packages: ['rabbitmq-server'],
    present: () => RABBITMQ_BINS.some((bin) => existsSync(`${bin}/rabbitmq-server`)),
  },
  postgres: { packages: ['postgresql'], present: () => postgresBin() !== undefined },
  nchan: {
    packages: ['nginx', 'libnginx-mod-nchan'],
    present: () => existsSync(NGINX) && existsSync(NCHAN_MODULE),
  },
  flask: {
    packages: ['python3-flask-socketio', 'python3-eventlet'],
    present: () => imports('flask_socketio', 'eventlet'),
  },
  pika: { packages: ['python3-pika'], present: () => imports('pika', 'sqlite3') },
}

export const nginx = { program: NGINX, nchanModule: NCHAN_MODULE }

const POLICY = '/usr/sbin/policy-rc.d'
const POLICY_KEPT = `${POLICY}.kept-by-bench`

/** Keeps packages from starting their services while they are installed. @returns puts back what was there */
const forbidServices = (): (() => void) => {
  if (existsSync(POLICY) && !existsSync(POLICY_KEPT)) renameSync(POLICY, POLICY_KEPT)
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n')
  chmodSync(POLICY, 0o755)
  const restore = (): void => {
    process.off('exit', restore)
    rmSync(POLICY, { force: true })
    if (existsSync(POLICY_KEPT)) renameSync(POLICY_KEPT, POLICY)
  }
  process.on('exit', restore)
  return restore
}

const apt = (...args: string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-qq', '-y', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2_000)
    })
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`apt-get ${args[0]} ended with ${code}: ${said}`)),
    )
  })

const install = async (packages: string[]): Promise<void> => {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(`not installed; run: sudo apt-get install ${packages.join(' ')}`)
  }
  await apt('update')
  const restore = forbidServices()
  try {
    await apt('install', '--no-install-recommends', ...packages)
  } finally {
    restore()
  }
}

const done = new Map<Program, Promise<void>>()

const provide = async (program: Program): Promise<void> => {
  const { packages, present } = PROGRAMS[program]
  if (present()) return
  await install(packages)
  if (!present()) throw new Error(`${packages.join(' ')} installed, yet not found`)
}

/**
 * Sees to it that a program is there: installed already, or, as root on Debian, installed now without starting a
 * service.
 * @throws Error that says why it cannot be had
 */
export const ensure = (program: Program): Promise<void> => {
  if (!done.has(program)) done.set(program, provide(program))
  return done.get(program)!
}

const require = createRequire(import.meta.url)

/** The version of an npm package as it would be loaded here, or null. */
export const packageVersion = (name: string): string | null => {
  try {
    return (require(`${name}/package.json`) as { version: string }).version
  } catch {
    return null
  }
}

/** The version of a Debian package, or null. */
export const debianVersion = (name: string): string | null => {
  const { status, stdout } = spawnSync('dpkg-query', ['--show', name], { encoding: 'utf8' })
  return (status === 0 && stdout.trim().split('\t')[1]) || null
}
