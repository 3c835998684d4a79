/**
 * Returns the text of a thrown value and its causes, for a log line or a fault. A connection to a host with several addresses fails with
 * one error for each address and no text of its own; then the first error is used.
 */
export const errorChainText = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0) {
    return errorChainText(error.errors[0])
  }
  const message = error.message || (error as { code?: string }).code || error.name
  return error.cause === undefined ? message : `${message}: ${errorChainText(error.cause)}`
}

/** Error codes of OpenSSL and Node for an untrusted certificate. */
const UNTRUSTED_CERTIFICATE = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|INVALID_CA$|INVALID_PURPOSE$)/

/** Returns the code of an error of fetch, or of its cause, that means an untrusted certificate; undefined if there is none. */
export const untrustedCertificateCode = (error: unknown): string | undefined => {
  const chain = [error, (error as Error | undefined)?.cause] as ({ code?: string } | undefined)[]
  return chain.map((one) => one?.code ?? '').find((code) => UNTRUSTED_CERTIFICATE.test(code))
}
