import { isUtf8 } from 'node:buffer'
import type { QuarantineEnvelope, QuarantineRow, QuarantineSummary } from './quarantine.ts'

/**
 * Serializes a row as a JSON object on one line. Headers and properties are inserted as text, so that integers beyond 2^53 keep all digits.
 * A body that is not UTF-8 becomes `body_base64`.
 */
export const serializeQuarantineRow = (row: QuarantineSummary | QuarantineEnvelope | QuarantineRow): string => {
  const { headers, properties, body, received_at, ...fields } = row as Partial<QuarantineRow> & QuarantineSummary
  const parts = [JSON.stringify({ ...fields, received_at: new Date(received_at).toISOString() }).slice(1, -1)]
  if (headers !== undefined) parts.push(`"headers":${headers}`)
  if (properties !== undefined) parts.push(`"properties":${properties}`)
  if (body !== undefined) parts.push(bodyMember(body))
  return `{${parts.join(',')}}`
}

const bodyMember = (body: Buffer): string =>
  isUtf8(body) ? `"body":${JSON.stringify(body.toString())}` : `"body_base64":"${body.toString('base64')}"`

/** Removes a character that was cut off at the end of truncated UTF-8. */
export const trimPartialUtf8 = (bytes: Buffer): Buffer => {
  for (let trailing = 1; trailing <= Math.min(3, bytes.length); trailing++) {
    const byte = bytes[bytes.length - trailing]!
    if (byte < 0x80) return bytes
    // The first byte of a character determines how many follow.
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return trailing < length ? bytes.subarray(0, bytes.length - trailing) : bytes
    }
  }
  return bytes
}
