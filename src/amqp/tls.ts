import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { describeError, PublishError } from '../publisher/errors.ts'
import type { TlsFiles } from '../publisher/settings.ts'

/** What each file is called where it was given: an option, or a variable. */
export type TlsNames = Readonly<Record<keyof TlsFiles, string>>

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

const invalid = (text: string, cause?: unknown): PublishError => new PublishError('config_invalid', text, { cause })

/**
 * Makes sure that the files can be used as they are now.
 *
 * @throws PublishError config_invalid; no content of a file is shown
 */
export const checkTlsFiles = ({ caFile, certFile, keyFile }: TlsFiles, names: TlsNames): void => {
  if (certFile !== null && keyFile === null) throw invalid(`${names.certFile} is set without ${names.keyFile}.`)
  if (keyFile !== null && certFile === null) throw invalid(`${names.keyFile} is set without ${names.certFile}.`)
  if (certFile !== null && keyFile !== null) {
    try {
      createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) })
    } catch (error) {
      throw invalid(`${names.certFile} and ${names.keyFile} cannot be used: ${describeError(error)}.`, error)
    }
  }
  if (caFile === null) return
  try {
    const certificates = readFileSync(caFile, 'utf8').match(CERTIFICATE) ?? []
    // OpenSSL passes over what it cannot read, and would then trust nobody, without a word.
    if (certificates.length === 0) throw new Error('it holds no certificate in PEM')
    for (const certificate of certificates) new X509Certificate(certificate)
  } catch (error) {
    throw invalid(`${names.caFile} cannot be used: ${describeError(error)}.`, error)
  }
}

/** @throws PublishError broker_tls_failed when a file cannot be read */
export const tlsOptions = (hostname: string, { caFile, certFile, keyFile }: TlsFiles): ConnectionOptions => {
  const read = (file: string) => {
    try {
      return readFileSync(file)
    } catch (cause) {
      throw new PublishError('broker_tls_failed', `A file cannot be read: ${describeError(cause)}.`, { cause })
    }
  }
  return {
    minVersion: 'TLSv1.2',
    // TLS has no way to ask for an address; the certificate is held against it all the same.
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    ...(caFile === null ? {} : { ca: read(caFile) }),
    ...(certFile === null || keyFile === null ? {} : { cert: read(certFile), key: read(keyFile) }),
  }
}
