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
  #watch: CertificateWatcher | null = null

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
    this.#watch = new CertificateWatcher({
      files: this.#files,
      current: this.#current,
      onChange: (certificate) => {
        onChange(certificate)
        this.#current = certificate
        this.#logger.info(shown(certificate), 'TLS certificate reloaded')
        this.#warn(certificate)
      },
      onFault: ({ code, hint, message }) =>
        this.#logger.warn({ code, hint, cause: message }, 'TLS certificate reload failed, keeping the current one'),
    })
    this.#watch.start()
  }

  stop(): void {
    this.#watch?.stop()
  }

  #warn(certificate: Certificate): void {
    const left = certificate.expiresAt - Date.now()
    if (left > EXPIRY_WARNING_MS) return
    this.#logger.warn(shown(certificate), left > 0 ? 'TLS certificate expires soon' : 'TLS certificate has expired')
  }
}

const shown = ({ fingerprint, names, expiresAt }: Certificate) => ({
  fingerprint,
  names,
  expires: new Date(expiresAt).toISOString(),
})
