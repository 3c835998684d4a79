/** One entry of the catalogue of error codes. */
export interface ErrorDefinition {
  /** HTTP status of a response with this code. */
  readonly status: number
  /** True if the same request can succeed later without a change. */
  readonly retryable: boolean
  /** Instructions for fixing it, in one or two sentences. */
  readonly hint: string
}

/** Creates an entry of the catalogue. */
export const define = (status: number, retryable: boolean, hint: string): ErrorDefinition => ({
  status,
  retryable,
  hint,
})

/** The end of the hints of errors that a running gateway retries. */
export const RETRY_NOTE = ' The gateway keeps retrying.'

/** An error that the gateway recovers from by itself once its cause is gone. */
export const keepsRetrying = (hint: string): ErrorDefinition => define(503, true, `${hint}${RETRY_NOTE}`)

/** An error that ends a start or a command. */
export const endsCommand = (hint: string): ErrorDefinition => define(500, false, hint)
