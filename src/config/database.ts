import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { errorChainText } from '../core/error-text.ts'
import { BadPostgresUrl, type PostgresAddress, parsePostgresUrl } from '../store/postgres/url.ts'

/** What was read of the environment, as far as the database depends on it. */
interface Read {
  readonly values: ReadonlyMap<string, unknown>
  readonly given: ReadonlySet<string>
  readonly problems: string[]
}

const urlOf = (read: Read): string => (read.values.get('DATABASE_URL') as string | undefined) ?? ''

const isPostgres = (url: string): boolean => /^postgres(ql)?:/.test(url)

/** Where the log lies in PostgreSQL; null: in SQLite, or told as a fault. */
export const parsePostgresConfig = (read: Read): PostgresAddress | null => {
  const url = urlOf(read)
  if (!isPostgres(url)) {
    if (url !== '' && read.given.has('DATABASE_CONNECTIONS')) {
      read.problems.push('DATABASE_CONNECTIONS is set without a postgres:// DATABASE_URL: SQLite has none.')
    }
    return null
  }
  try {
    const address = parsePostgresUrl(url)
    validateTlsFiles(read, address)
    return address
  } catch (error) {
    if (!(error instanceof BadPostgresUrl)) throw error
    read.problems.push(`DATABASE_URL ${error.message}`)
    return null
  }
}

/** Nobody believes to be guarded by files that are not there. */
const validateTlsFiles = (read: Read, { tls }: PostgresAddress): void => {
  const files = { sslrootcert: tls.caFile, sslcert: tls.certFile, sslkey: tls.keyFile }
  for (const [option, file] of Object.entries(files)) {
    if (file === null) continue
    try {
      const text = readFileSync(file, 'utf8')
      const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
      if (option !== 'sslkey' && certificates.length === 0) throw new Error('it holds no certificate in PEM')
      for (const certificate of certificates) new X509Certificate(certificate)
    } catch (error) {
      read.problems.push(`${option} of DATABASE_URL cannot be used: ${errorChainText(error)}.`)
    }
  }
}

/** Path of the SQLite file; empty with PostgreSQL. */
export const parseSqlitePath = (read: Read): string => {
  const url = urlOf(read)
  return isPostgres(url) ? '' : url.slice('sqlite:'.length)
}
