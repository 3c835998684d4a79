import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { errorChainText } from '../core/error-text.ts'
import type { RawConfig } from './raw-config.ts'

/** Checks the TLS files of PostgreSQL now, so that a missing one is reported at start and not at each connection. */
export const validateDatabase = ({ values, given, problems }: RawConfig): void => {
  const location = values.DATABASE_URL
  if (location === undefined) return
  if (location.postgres === null) {
    if (given.has('DATABASE_CONNECTIONS')) {
      problems.push('DATABASE_CONNECTIONS is set without a postgres:// DATABASE_URL: SQLite has none.')
    }
    return
  }
  const { caFile, certFile, keyFile } = location.postgres.tls
  for (const [option, file] of Object.entries({ sslrootcert: caFile, sslcert: certFile, sslkey: keyFile })) {
    if (file === null) continue
    try {
      const text = readFileSync(file, 'utf8')
      const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
      if (option !== 'sslkey' && certificates.length === 0) throw new Error('it holds no certificate in PEM')
      for (const certificate of certificates) new X509Certificate(certificate)
    } catch (error) {
      problems.push(`${option} of DATABASE_URL cannot be used: ${errorChainText(error)}.`)
    }
  }
}
