import type { Logger } from 'pino'
import {
  type Certificate,
  type CertificateFiles,
  CertificateWatcher,
  loadCertificatePair,
} from './certificate-watcher.ts'

/** Warn if the certificate expires within this time; renewal is probably failing. */
const EXPIRY_WARNING_MS = 14 * 24 * 3_600_000

/** Loads and renews the certificate of HTTPS, and logs every change. */
export class CertificateManager {
  readonly #files: CertificateFiles
  readonly #logger: Logger
  #current: Certificate
  #watcher: CertificateWatcher | null = null

  /** @throws GatewayError certificate_invalid */
  constructor({ files, logger }: { files: CertificateFiles; logger: Logger }) {
    this.#files = files
    this.#logger = logger
    this.#current = loadCertificatePair(files)
  }

  get current(): Certificate {
    return this.#current
  }

  /** @param onChange called with each new certificate */
  start(onChange: (certificate: Certificate) => void): void {
    this.#warn(this.#current)
    this.#watcher = new CertificateWatcher({
      files: this.#files,
      current: this.#current,
      onChange: (certificate) => {
        onChange(certificate)
        this.#current = certificate
        this.#logger.info(toLogFields(certificate), 'TLS certificate reloaded')
        this.#warn(certificate)
      },
      onError: ({ code, hint, message }) =>
        this.#logger.warn({ code, hint, cause: message }, 'TLS certificate reload failed, keeping the current one'),
    })
    this.#watcher.start()
  }

  stop(): void {
    this.#watcher?.stop()
  }

  #warn(certificate: Certificate): void {
    const remainingMs = certificate.expiresAt - Date.now()
    if (remainingMs > EXPIRY_WARNING_MS) return
    this.#logger.warn(
      toLogFields(certificate),
      remainingMs > 0 ? 'TLS certificate expires soon' : 'TLS certificate has expired',
    )
  }
}

const toLogFields = ({ fingerprint, names, expiresAt }: Certificate) => ({
  fingerprint,
  names,
  expires: new Date(expiresAt).toISOString(),
})
