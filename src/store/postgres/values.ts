import { UnsupportedValueError } from './errors.ts'

const OID_BYTEA = 17
const OID_BIGINT = 20
const OID_TEXT = 25

/** Escape character for characters that PostgreSQL's text type cannot hold, and for itself. */
const ESCAPE = '\u001a'

/**
 * Escapes NUL, which PostgreSQL's text type cannot hold but a message_id, a type or a routing key can contain. Distinct names stay
 * distinct. Bodies are not escaped, since JSON text contains no such characters.
 */
export const escapeNul = (text: string): string =>
  text.includes('\0') || text.includes(ESCAPE)
    ? text.replaceAll(ESCAPE, `${ESCAPE}1`).replaceAll('\0', `${ESCAPE}0`)
    : text

/** Reverses escapeNul. */
export const unescapeNul = (text: string): string =>
  text.includes(ESCAPE) ? text.replaceAll(`${ESCAPE}0`, '\0').replaceAll(`${ESCAPE}1`, ESCAPE) : text

export const toNullable = (text: string | null): string | null => (text === null ? null : escapeNul(text))
export const fromNullable = (text: string | null): string | null => (text === null ? null : unescapeNul(text))

const HEAD_BYTES = 20

/** Encodes a one-dimensional array in PostgreSQL's binary format. `write` writes a value at an offset and returns its size in bytes. */
const encodeArray = <Value>(
  oid: number,
  values: readonly (Value | null)[],
  getSize: (value: Value) => number,
  write: (buffer: Buffer, value: Value, at: number) => number,
): Buffer => {
  let maxBytes = HEAD_BYTES
  for (const value of values) maxBytes += 4 + (value === null ? 0 : getSize(value))
  const buffer = Buffer.allocUnsafe(maxBytes)
  buffer.writeInt32BE(1, 0)
  buffer.writeInt32BE(values.includes(null) ? 1 : 0, 4)
  buffer.writeInt32BE(oid, 8)
  buffer.writeInt32BE(values.length, 12)
  buffer.writeInt32BE(1, 16)
  let at = HEAD_BYTES
  for (const value of values) {
    const bytes = value === null ? -1 : write(buffer, value, at + 4)
    buffer.writeInt32BE(bytes, at)
    at += 4 + Math.max(0, bytes)
  }
  return buffer
}

/** Encodes text[]. The text format would have to be quoted and unquoted character by character. */
export const textArray = (values: readonly (string | null)[]): Buffer =>
  encodeArray(OID_TEXT, values, Buffer.byteLength, (buffer, value, at) => buffer.write(value, at))

/** Encodes bytea[]. */
export const bytesArray = (values: readonly Uint8Array[]): Buffer =>
  encodeArray(
    OID_BYTEA,
    values,
    (value) => value.length,
    (buffer, value, at) => {
      buffer.set(value, at)
      return value.length
    },
  )

/** Encodes bigint[]. @throws UnsupportedValueError if a value is not an integer */
export const bigintArray = (values: readonly (number | null)[]): Buffer =>
  encodeArray(
    OID_BIGINT,
    values,
    () => 8,
    (buffer, value, at) => {
      if (!Number.isSafeInteger(value)) throw new UnsupportedValueError(`${String(value)} is not an integer`)
      buffer.writeBigInt64BE(BigInt(value), at)
      return 8
    },
  )
