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
