import { errorChainText } from '../../core/error-text.ts'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'

/** Codes of SQLite for damaged content, including those of a file system and of a VFS that verify checksums. */
const CORRUPT = /^SQLITE_(CORRUPT|NOTADB|IOERR_(CORRUPTFS|DATA))/

/** Returns whether an error of SQLite means that the file is damaged. */
export const isCorrupt = (error: unknown): boolean => CORRUPT.test((error as { code?: string }).code ?? '')

const nameOf = (error: unknown, code: string): ErrorCode => {
  if (isCorrupt(error)) return 'database_corrupt'
  return code.startsWith('SQLITE_BUSY') ? 'storage_busy' : 'storage_unavailable'
}

/** Converts an error of SQLite to an error of the catalogue. */
export const storageError = (error: unknown): GatewayError => {
  if (error instanceof GatewayError) return error
  const code = (error as { code?: string }).code ?? ''
  return new GatewayError(nameOf(error, code), `${code} ${errorChainText(error)}`.trim(), { cause: error })
}
