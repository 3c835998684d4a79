import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { errorChainText } from '../core/error-text.ts'
import type { BrokerTls } from './address.ts'
import { BrokerError } from './errors.ts'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** @throws Error if the file cannot be read, has no certificate in PEM, or has an invalid one */
export const assertCertificateFile = (file: string): void => {
  const certificates = readFileSync(file, 'utf8').match(CERTIFICATE) ?? []
  // OpenSSL skips content that it cannot read, and would then trust no CA without a warning.
  if (certificates.length === 0) throw new Error('it contains no certificate in PEM')
  for (const certificate of certificates) new X509Certificate(certificate)
}

export interface TlsProblem {
  /** A sentence that names the file by its option or variable, without its content. */
  readonly text: string
  readonly cause?: unknown
}

/**
 * Checks that the files can be used now.
 *
 * @param names the option or variable of each file
 * @returns all problems; empty if there are none
 */
export const findTlsProblems = (
  { caFile, certFile, keyFile }: BrokerTls,
  names: Readonly<Record<keyof BrokerTls, string>>,
): TlsProblem[] => {
  const problems: TlsProblem[] = []
  const check = (name: string, validate: () => unknown): void => {
    try {
      validate()
    } catch (cause) {
      problems.push({ text: `${name} cannot be used: ${errorChainText(cause)}.`, cause })
    }
  }
  if (certFile !== null && keyFile === null)
    problems.push({ text: `${names.certFile} is set without ${names.keyFile}.` })
  if (keyFile !== null && certFile === null)
    problems.push({ text: `${names.keyFile} is set without ${names.certFile}.` })
  if (certFile !== null && keyFile !== null) {
    check(`${names.certFile} and ${names.keyFile}`, () =>
      createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) }),
    )
  }
  if (caFile !== null) check(names.caFile, () => assertCertificateFile(caFile))
  return problems
}

/** Reads the files and returns Node's TLS options. @throws BrokerError broker_tls_failed if a file cannot be read */
export const tlsOptions = (hostname: string, { caFile, certFile, keyFile }: BrokerTls): ConnectionOptions => {
  const read = (file: string) => {
    try {
      return readFileSync(file)
    } catch (cause) {
      throw new BrokerError('broker_tls_failed', `A file cannot be read: ${errorChainText(cause)}.`, { cause })
    }
  }
  return {
    minVersion: 'TLSv1.2',
    // SNI does not allow IP addresses; the certificate is still checked against the address.
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    ...(caFile === null ? {} : { ca: read(caFile) }),
    ...(certFile === null || keyFile === null ? {} : { cert: read(certFile), key: read(keyFile) }),
  }
}
