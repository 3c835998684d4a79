import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { errorChainText } from '../core/error-text.ts'
import type { GatewayError } from '../core/errors.ts'
import { type CertificateFiles, loadCertificatePair } from '../http/server/certificate-watcher.ts'
import type { RawConfig } from './raw-config.ts'

type TlsVariable = 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'RABBITMQ_CA_FILE' | 'RABBITMQ_CERT_FILE' | 'RABBITMQ_KEY_FILE'

const textOf = (read: RawConfig, name: TlsVariable): string | null => read.values[name] ?? null

/** Two files that make sense together only. Tells it as a fault where one is missing. */
const parseCertificatePair = (
  read: RawConfig,
  certName: TlsVariable,
  keyName: TlsVariable,
): CertificateFiles | null => {
  const certFile = textOf(read, certName)
  const keyFile = textOf(read, keyName)
  if (certFile !== null && keyFile !== null) return { certFile, keyFile }
  if (certFile !== null) read.problems.push(`${certName} is set without ${keyName}.`)
  if (keyFile !== null) read.problems.push(`${keyName} is set without ${certName}.`)
  return null
}

/** Certificate and key belong together, or it is told as a fault. */
const checkPairOf = (read: RawConfig, names: string, files: CertificateFiles | null): void => {
  if (files === null) return
  try {
    loadCertificatePair(files)
  } catch (error) {
    read.problems.push(`${names}: ${(error as GatewayError).message}`)
  }
}

/** The files of HTTPS, checked as they are now; null: plain HTTP. */
export const parseTlsConfig = (read: RawConfig): CertificateFiles | null => {
  const files = parseCertificatePair(read, 'TLS_CERT_FILE', 'TLS_KEY_FILE')
  checkPairOf(read, 'TLS_CERT_FILE and TLS_KEY_FILE', files)
  return files
}

/** The files of amqps:// can be used as they are now, and nobody believes to be guarded by files that are not. */
export const validateBrokerTls = (read: RawConfig): void => {
  const variables = ['RABBITMQ_CA_FILE', 'RABBITMQ_CERT_FILE', 'RABBITMQ_KEY_FILE'] as const
  const names = variables.filter((name) => read.given.has(name))
  if (names.length === 0) return
  const address = read.values.RABBITMQ_URL
  if (address !== undefined && (address?.tls ?? null) === null) {
    read.problems.push(`${names.join(', ')} set without an amqps:// RABBITMQ_URL: nothing would be encrypted.`)
  }
  const pair = parseCertificatePair(read, 'RABBITMQ_CERT_FILE', 'RABBITMQ_KEY_FILE')
  checkPairOf(read, 'RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE', pair)
  const caFile = textOf(read, 'RABBITMQ_CA_FILE')
  if (caFile === null) return
  try {
    const text = readFileSync(caFile, 'utf8')
    const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
    // OpenSSL passes over what it cannot read, and would then trust nobody, without a word.
    if (certificates.length === 0) throw new Error('it holds no certificate in PEM')
    for (const certificate of certificates) new X509Certificate(certificate)
  } catch (error) {
    read.problems.push(`RABBITMQ_CA_FILE cannot be used: ${errorChainText(error)}.`)
  }
}
