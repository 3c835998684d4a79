import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { loadConfig } from '../../../src/config/config.ts'
import { explainConfig } from '../../../src/config/explain.ts'
import type { GatewayError } from '../../../src/core/errors.ts'
import { describePostgres, type PostgresAddress } from '../../../src/store/postgres/url.ts'
import { suite } from '../../support/harness/suite.ts'
import { tempDir } from '../../support/harness/wait.ts'

const SECRET = 'hunter2-and-more'

const addressOf = (url: string): PostgresAddress => loadConfig({ DATABASE_URL: url }).postgres!

/** DATABASE_URL as the `config` command shows it. */
const shownUrl = (env: Record<string, string>): string =>
  explainConfig({ processEnv: env, dotEnv: {} }).find(({ name }) => name === 'DATABASE_URL')!.value!

const faultsOf = (env: Record<string, string>): string[] => {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    assert.is((error as GatewayError).code, 'config_invalid', String(error))
    return (error as GatewayError).message.split('\n')
  }
}

const refused = (url: string, pattern: RegExp): void => {
  const faults = faultsOf({ DATABASE_URL: url })
  assert.is(faults.length, 1, `${url}: ${faults.join(' | ')}`)
  assert.match(faults[0]!, pattern)
  assert.match(faults[0]!, /DATABASE_URL/)
}

const config = suite('the configuration of PostgreSQL')

config('reads every part of the URL as libpq does', () => {
  const me = userInfo().username
  const plain: PostgresAddress = {
    hosts: [{ host: 'h', port: 5432 }],
    user: 'u',
    password: 'p',
    database: 'db',
    schema: 'deepsoc_gateway',
    applicationName: 'deepsoc-gateway',
    connectTimeoutMs: 5_000,
    tls: { mode: 'prefer', caFile: null, certFile: null, keyFile: null },
  }
  const socket = [{ host: '/var/run/postgresql', port: 5432 }]
  const table: [string, Partial<PostgresAddress>][] = [
    ['postgres://u:p@h/db', {}],
    ['postgresql://u:p@h/db', {}],
    ['postgres://u:p@h:6543/db?', { hosts: [{ host: 'h', port: 6543 }] }],
    ['postgres://u:p@[::1]:6543/db', { hosts: [{ host: '::1', port: 6543 }] }],
    ['postgres://u:p@10.0.0.1/db', { hosts: [{ host: '10.0.0.1', port: 5432 }] }],
    [
      'postgres://u:p@a:1,b,[::2]:3/db',
      {
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 5432 },
          { host: '::2', port: 3 },
        ],
      },
    ],
    ['postgres://b%C3%B6b:p%40ss%2F%3A%3F@h/d%2Fb', { user: 'böb', password: 'p@ss/:?', database: 'd/b' }],
    ['postgres://u:a:b@c@h/db', { password: 'a:b@c' }],
    ['postgres://u@h', { password: '', database: 'u' }],
    ['postgres://h/db', { user: me, password: '' }],
    ['postgres:///db', { hosts: socket, user: me, password: '' }],
    ['postgres://u:p@/db', { hosts: socket }],
    ['postgres://u:p@%2Frun%2Fpg:99/db', { hosts: [{ host: '/run/pg', port: 99 }] }],
    ['postgres:///db?host=/run/pg&port=99&user=u&password=p', { hosts: [{ host: '/run/pg', port: 99 }] }],
    ['postgres://u:p@h/?dbname=other', { database: 'other' }],
    ['postgres://u:p@h/db?schema=soc_2', { schema: 'soc_2' }],
    [
      'postgres://u:p@h/db?application_name=gw%201&connect_timeout=2',
      { applicationName: 'gw 1', connectTimeoutMs: 2_000 },
    ],
    ['postgres://u:p@h/db?connect_timeout=0', { connectTimeoutMs: 60_000 }],
    ['postgres://u:p@h/db?target_session_attrs=read-write&keepalives_idle=5', {}],
    ['postgres://u:p@h/db?sslmode=verify-full', { tls: { ...plain.tls, mode: 'verify-full' } }],
    ['postgres://u:p@h/db?sslmode=verify-full&sslrootcert=system', { tls: { ...plain.tls, mode: 'verify-full' } }],
    ['postgres://u:p@h/db?sslmode=disable', { tls: { ...plain.tls, mode: 'disable' } }],
  ]
  for (const [url, over] of table) assert.equal(addressOf(url), { ...plain, ...over }, url)
})

config('refuses what it could honour in part only, and says what to write instead', () => {
  refused('postgres://u:p@h:port/db', /port that is not a number/)
  refused('postgres://u:p@h:70000/db', /port that is not a number/)
  refused('postgres://u:%zz@h/db', /write %25/)
  refused('postgres://u:p@[::1/db', /IPv6 address in brackets/)
  refused('postgres://u:p@h/db?sslmode=no-verify', /not one of disable, allow, prefer, require, verify-ca, verify-full/)
  refused('postgres://u:p@h/db?sslmode=verify-ca', /verify-ca without sslrootcert/)
  refused('postgres://u:p@h/db?sslrootcert=system', /Add sslmode=verify-full/)
  refused('postgres://u:p@h/db?sslcert=/x', /a client certificate needs both/)
  refused('postgres://u:p@h/db?channel_binding=require', /channel_binding, which is not supported/)
  refused('postgres://u:p@h/db?options=-csynchronous_commit%3Doff', /options, which is not supported/)
  refused('postgres://u:p@h/db?target_session_attrs=standby', /can be written to/)
  refused('postgres://u:p@h/db?connect_timeout=soon', /connect_timeout/)
  refused('postgres://u:p@h/db?schema=a";drop', /schema/)
  refused(
    'postgres://u:p@h/db?sslmode=verify-ca&sslrootcert=/nowhere.pem',
    /sslrootcert of DATABASE_URL cannot be used.*ENOENT/,
  )
  const empty = join(tempDir(), 'empty.pem')
  writeFileSync(empty, 'no certificate')
  refused(`postgres://u:p@h/db?sslmode=verify-ca&sslrootcert=${empty}`, /no certificate in PEM/)
})

config('DATABASE_POOL_SIZE is for postgres:// only, and leaves connections for reading', () => {
  const url = 'postgres://u:p@h/db'
  assert.is(loadConfig({ DATABASE_URL: url, DATABASE_POOL_SIZE: '12' }).databaseConnections, 12)
  assert.match(faultsOf({ DATABASE_URL: url, DATABASE_POOL_SIZE: '2' }).join(), /^DATABASE_POOL_SIZE must be/)
  assert.match(faultsOf({ DATABASE_POOL_SIZE: '12' }).join(), /without a postgres:\/\/ DATABASE_URL/)
})

config('shows no user and no password, wherever the URL is used and whatever is wrong with it', () => {
  const good = [
    `postgres://bob:${SECRET}@h:1,i:2/db`,
    `postgres://bob:${SECRET}%2F@h/db?sslmode=require`,
    `postgres:///db?host=h&user=bob&password=${SECRET}`,
    `postgres://bob:x?y=${SECRET}@h/db`,
  ]
  for (const url of good) {
    const faults = faultsOf({ DATABASE_URL: url })
    assert.not.match(faults.join(), SECRET)
    if (faults.length > 0) continue
    const shown = shownUrl({ DATABASE_URL: url })
    assert.not.match(`${shown} ${describePostgres(addressOf(url))}`, new RegExp(`${SECRET}|bob`))
    assert.match(shown, 'postgres://')
  }
  for (const url of [
    `postgres://bob:${SECRET}@h:port/db`,
    `postgres://bob:a/${SECRET}@h/db`,
    `postgres://h/db?${SECRET}`,
  ]) {
    const faults = faultsOf({ DATABASE_URL: url })
    assert.ok(faults.length > 0, url)
    assert.not.match(faults.join(), SECRET)
  }
})

config('reads the URL from the file that DATABASE_URL_FILE names', () => {
  const file = join(tempDir(), 'url')
  writeFileSync(file, `postgres://u:${SECRET}@there/db\n`)
  const { postgres } = loadConfig({ DATABASE_URL_FILE: file })
  assert.equal([postgres!.password, postgres!.hosts[0]!.host], [SECRET, 'there'])
  assert.is(shownUrl({ DATABASE_URL_FILE: file }), 'postgres://***@there/db')
})

config('names the place for people', () => {
  assert.is(describePostgres(addressOf('postgres://u:p@a:1,[::1]/db')), 'postgres://a:1,[::1]:5432/db')
  assert.is(describePostgres(addressOf('postgres://u:p@a/db?schema=x')), 'postgres://a:5432/db?schema=x')
})

config('DeepSOC’s own database is refused with what to set instead, and its password is not shown', () => {
  for (const scheme of ['mysql', 'mysql+pymysql', 'mariadb+mariadbconnector']) {
    const url = `${scheme}://deepsoc_user:${SECRET}@localhost:3306/deepsoc`
    refused(url, /^DATABASE_URL names a MySQL database.*set DATABASE_URL=sqlite:data\/gateway\.db or postgres:\/\//)
    assert.not.match(faultsOf({ DATABASE_URL: url }).join(), SECRET)
  }
})

config.run()
