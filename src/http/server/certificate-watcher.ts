import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { errorChainText } from '../../core/error-text.ts'
import { GatewayError } from '../../core/errors.ts'

/** PEM files of the certificate, followed by its chain, and of the private key. */
export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** A certificate and its private key. */
export interface Certificate {
  readonly cert: Buffer
  readonly key: Buffer
  /** SHA-256, in the format that browsers show. */
  readonly fingerprint: string
  /** Names and addresses of the certificate, in OpenSSL's format. */
  readonly names: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * Poll interval of the files, in milliseconds. Polling reads their contents, which detects every kind of deployment:
 * rename, rewrite, a changed symbolic link above them, or a network file system without change notifications.
 */
const POLL_INTERVAL_MS = 1_000

/** @throws GatewayError certificate_invalid with the problem; it never contains parts of the key */
const parseCertificatePair = (cert: Buffer, key: Buffer): Certificate => {
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
  /** The certificate in use. */
  readonly current: Certificate
  readonly onChange: (certificate: Certificate) => void
  /** Called if new files cannot be used, once per state of the files. The current certificate stays in use. */
  readonly onError: (error: GatewayError) => void
}

/** Polls the files of a certificate and reports each new, complete pair. */
export class CertificateWatcher {
  readonly #options: WatchOptions
  #currentDigest: string
  #lastState: string
  #reportedState = ''
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: WatchOptions) {
    this.#options = options
    this.#currentDigest = digest(options.current.cert, options.current.key)
    this.#lastState = this.#currentDigest
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#poll(), POLL_INTERVAL_MS).unref()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #poll(): Promise<void> {
    const { certFile, keyFile } = this.#options.files
    try {
      const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
      this.#evaluate(digest(cert, key), () => parseCertificatePair(cert, key))
    } catch (cause) {
      const text = errorChainText(cause)
      this.#evaluate(text, () => {
        throw new GatewayError('certificate_invalid', `A file cannot be read: ${text}.`)
      })
    }
    if (!this.#stopped) this.start()
  }

  /** The two files are never written atomically: a state counts as complete if two polls in a row have read it. */
  #evaluate(state: string, load: () => Certificate): void {
    const isStable = state === this.#lastState
    this.#lastState = state
    if (state === this.#currentDigest) this.#reportedState = ''
    if (!isStable || state === this.#currentDigest || state === this.#reportedState || this.#stopped) return
    this.#reportedState = state
    try {
      const certificate = load()
      this.#currentDigest = state
      this.#options.onChange(certificate)
    } catch (error) {
      this.#options.onError(error as GatewayError)
    }
  }
}

const digest = (cert: Buffer, key: Buffer): string =>
  createHash('sha256').update(`${cert.length} `).update(cert).update(key).digest('hex')
