/**
 * The text of anything that was thrown, with its causes, for a log line or a fault. A host with several addresses fails
 * with an error for each and no text of its own: the first one speaks for all.
 */
export const errorChainText = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0) {
    return errorChainText(error.errors[0])
  }
  const own = error.message || (error as { code?: string }).code || error.name
  return error.cause === undefined ? own : `${own}: ${errorChainText(error.cause)}`
}
