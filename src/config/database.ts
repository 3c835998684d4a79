import { readFileSync } from 'node:fs'
import { assertCertificateFile } from '../amqp/tls.ts'
import { errorChainText } from '../core/error-text.ts'
import type { RawConfig } from './raw-config.ts'

/** Checks the TLS files of PostgreSQL, so that a missing one is reported at startup instead of at each connection. */
export const validateDatabase = ({ values, sources, problems }: RawConfig): void => {
  const location = values.DATABASE_URL
  if (location === undefined) return
  if (location.postgres === null) {
    if (sources.has('DATABASE_POOL_SIZE')) {
      problems.push('DATABASE_POOL_SIZE is set without a postgres:// DATABASE_URL: SQLite has none.')
    }
    return
  }
  const { caFile, certFile, keyFile } = location.postgres.tls
  for (const [option, file] of Object.entries({ sslrootcert: caFile, sslcert: certFile, sslkey: keyFile })) {
    if (file === null) continue
    try {
      if (option === 'sslkey') readFileSync(file)
      else assertCertificateFile(file)
    } catch (error) {
      problems.push(`${option} of DATABASE_URL cannot be used: ${errorChainText(error)}.`)
    }
  }
}
