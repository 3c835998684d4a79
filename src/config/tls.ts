import { findTlsProblems } from '../amqp/tls.ts'
import type { GatewayError } from '../core/errors.ts'
import { loadCertificatePair } from '../http/server/certificate-watcher.ts'
import type { RawConfig } from './raw-config.ts'

/** Checks that the TLS files for HTTPS can be loaded. */
export const validateTls = ({ values, problems }: RawConfig): void => {
  const { TLS_CERT_FILE: certFile = null, TLS_KEY_FILE: keyFile = null } = values
  if (certFile === null || keyFile === null) {
    if (certFile !== null) problems.push('TLS_CERT_FILE is set without TLS_KEY_FILE.')
    if (keyFile !== null) problems.push('TLS_KEY_FILE is set without TLS_CERT_FILE.')
    return
  }
  try {
    loadCertificatePair({ certFile, keyFile })
  } catch (error) {
    problems.push(`TLS_CERT_FILE and TLS_KEY_FILE: ${(error as GatewayError).message}`)
  }
}

const BROKER_FILES = {
  caFile: 'RABBITMQ_CA_FILE',
  certFile: 'RABBITMQ_CERT_FILE',
  keyFile: 'RABBITMQ_KEY_FILE',
} as const

/** Reports TLS files of amqps:// that cannot be used now; otherwise the connection would silently be unprotected. */
export const validateBrokerTls = ({ values, sources, problems }: RawConfig): void => {
  const names = Object.values(BROKER_FILES).filter((name) => sources.has(name))
  const address = values.RABBITMQ_URL
  if (names.length > 0 && address !== undefined && (address?.tls ?? null) === null) {
    problems.push(`${names.join(', ')} set without an amqps:// RABBITMQ_URL: nothing would be encrypted.`)
  }
  const files = {
    caFile: values.RABBITMQ_CA_FILE ?? null,
    certFile: values.RABBITMQ_CERT_FILE ?? null,
    keyFile: values.RABBITMQ_KEY_FILE ?? null,
  }
  for (const { text } of findTlsProblems(files, BROKER_FILES)) problems.push(text)
}
