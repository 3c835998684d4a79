import { errorChainText } from '../../core/error-text.ts'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'

/** Codes of SQLite for damaged content, including those of a file system and of a VFS that verify checksums. */
const CORRUPT = /^SQLITE_(CORRUPT|NOTADB|IOERR_(CORRUPTFS|DATA))/

const getSqliteCode = (error: unknown): string => (error as { code?: string }).code ?? ''

/** Returns whether an error of SQLite means that the file is damaged. */
export const isCorrupt = (error: unknown): boolean => CORRUPT.test(getSqliteCode(error))

/** Returns whether an error of SQLite means that another connection holds a lock. */
export const isBusy = (error: unknown): boolean => getSqliteCode(error).startsWith('SQLITE_BUSY')

const toErrorCode = (error: unknown): ErrorCode => {
  if (isCorrupt(error)) return 'database_corrupt'
  return isBusy(error) ? 'storage_busy' : 'storage_unavailable'
}

/** Converts an error of SQLite to an error of the catalogue. */
export const storageError = (error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  return new GatewayError(toErrorCode(error), `${getSqliteCode(error)} ${errorChainText(error)}`.trim(), {
    cause: error,
  })
}

/** Returns the result of a function, and converts an error that it throws. @throws GatewayError storage_* or database_corrupt */
export const withStorageErrors = <Result>(run: () => Result): Result => {
  try {
    return run()
  } catch (error) {
    throw storageError(error)
  }
}
