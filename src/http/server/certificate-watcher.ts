import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'

/** Where certificate (its chain behind it) and private key lie, in PEM. */
export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** A certificate with the key that belongs to it. */
export interface Certificate {
  readonly cert: Buffer
  readonly key: Buffer
  /** SHA-256, as browsers show it. */
  readonly fingerprint: string
  /** The names and addresses it is for, as OpenSSL writes them. */
  readonly names: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * The files are looked at this often. A look reads them: whatever a deployment does to bring new ones (rename, rewrite,
 * swap of a symbolic link above them, a network file system that tells nobody), the text is then another.
 */
const POLL_INTERVAL_MS = 1_000

/** @throws GatewayError certificate_invalid naming what is wrong with the pair; no part of the key is in it */
export const parseCertificatePair = (cert: Buffer, key: Buffer): Certificate => {
  try {
    const { fingerprint256, subjectAltName, subject, validTo } = new X509Certificate(cert)
    createSecureContext({ cert, key })
    const expiresAt = Date.parse(validTo)
    return { cert, key, fingerprint: fingerprint256, names: subjectAltName ?? subject ?? '', expiresAt }
  } catch (cause) {
    throw new GatewayError('certificate_invalid', `Certificate and key cannot be used: ${errorChainText(cause)}.`)
  }
}

/** @throws GatewayError certificate_invalid */
export const loadCertificatePair = ({ certFile, keyFile }: CertificateFiles): Certificate => {
  let texts: [Buffer, Buffer]
  try {
    texts = [readFileSync(certFile), readFileSync(keyFile)]
  } catch (cause) {
    throw new GatewayError('certificate_invalid', `A file cannot be read: ${errorChainText(cause)}.`)
  }
  return parseCertificatePair(...texts)
}

export interface WatchOptions {
  readonly files: CertificateFiles
  /** What is in use. */
  readonly current: Certificate
  readonly onChange: (certificate: Certificate) => void
  /** New files that cannot be used: the old certificate stays. Called once for each state of the files. */
  readonly onFault: (error: GatewayError) => void
}

/** Looks after the files of a certificate and gives the new pair once it is whole. */
export class CertificateWatcher {
  readonly #options: WatchOptions
  #used: string
  #seen: string
  #judged = ''
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: WatchOptions) {
    this.#options = options
    this.#used = digest(options.current.cert, options.current.key)
    this.#seen = this.#used
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#look(), POLL_INTERVAL_MS).unref()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #look(): Promise<void> {
    const { certFile, keyFile } = this.#options.files
    try {
      const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
      this.#judge(digest(cert, key), () => parseCertificatePair(cert, key))
    } catch (cause) {
      const text = errorChainText(cause)
      this.#judge(text, () => {
        throw new GatewayError('certificate_invalid', `A file cannot be read: ${text}.`)
      })
    }
    if (!this.#stopped) this.start()
  }

  /** Two files are never written in one moment: what two looks have seen alike is taken for whole. */
  #judge(state: string, check: () => Certificate): void {
    const settled = state === this.#seen
    this.#seen = state
    if (state === this.#used) this.#judged = ''
    if (!settled || state === this.#used || state === this.#judged || this.#stopped) return
    this.#judged = state
    try {
      const certificate = check()
      this.#used = state
      this.#options.onChange(certificate)
    } catch (error) {
      this.#options.onFault(error as GatewayError)
    }
  }
}

const digest = (cert: Buffer, key: Buffer): string =>
  createHash('sha256').update(`${cert.length} `).update(cert).update(key).digest('hex')
