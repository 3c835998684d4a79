import { decodeText } from './text.ts'

/** A value of an AMQP field table, as JSON can show it. Integers beyond 2^53 become text, digit for digit. */
export type FieldValue = string | number | boolean | null | FieldValue[] | { [name: string]: FieldValue }

const MAX_DEPTH = 16

const integer = (value: bigint): FieldValue =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value.toString()

interface Reader {
  readonly bytes: Buffer
  at: number
}

/** Fixed-size types: size in bytes, and decoder. */
const FIXED: Record<string, [number, (bytes: Buffer, at: number) => FieldValue]> = {
  t: [1, (bytes, at) => bytes.readUInt8(at) !== 0],
  b: [1, (bytes, at) => bytes.readInt8(at)],
  B: [1, (bytes, at) => bytes.readUInt8(at)],
  s: [2, (bytes, at) => bytes.readInt16BE(at)],
  U: [2, (bytes, at) => bytes.readInt16BE(at)],
  u: [2, (bytes, at) => bytes.readUInt16BE(at)],
  I: [4, (bytes, at) => bytes.readInt32BE(at)],
  i: [4, (bytes, at) => bytes.readUInt32BE(at)],
  l: [8, (bytes, at) => integer(bytes.readBigInt64BE(at))],
  // Not in RabbitMQ's list of types, but py-amqp and Celery send it and RabbitMQ relays it.
  L: [8, (bytes, at) => integer(bytes.readBigInt64BE(at))],
  T: [8, (bytes, at) => integer(bytes.readBigUInt64BE(at))],
  f: [4, (bytes, at) => finiteOrText(bytes.readFloatBE(at))],
  d: [8, (bytes, at) => finiteOrText(bytes.readDoubleBE(at))],
  D: [5, (bytes, at) => `${bytes.readInt32BE(at + 1)}e-${bytes.readUInt8(at)}`],
  V: [0, () => null],
}

/** Converts NaN and infinities to strings, since JSON does not have them. */
const finiteOrText = (value: number): FieldValue => (Number.isFinite(value) ? value : String(value))

const readBytes = (reader: Reader, length: number): Buffer => {
  const end = reader.at + length
  if (end > reader.bytes.length) throw new RangeError('the field table ends too early')
  const part = reader.bytes.subarray(reader.at, end)
  reader.at = end
  return part
}

const readValue = (reader: Reader, depth: number): FieldValue => {
  const type = String.fromCharCode(readBytes(reader, 1)[0]!)
  const fixed = FIXED[type]
  if (fixed !== undefined) {
    const [length, read] = fixed
    return read(readBytes(reader, length), 0)
  }
  if (!'SxAF'.includes(type)) throw new RangeError(`unknown field type ${JSON.stringify(type)}`)
  const part = readBytes(reader, readBytes(reader, 4).readUInt32BE(0))
  if (type === 'S') return decodeText(part, 0, part.length)
  if (type === 'x') return part.toString('base64')
  if (depth >= MAX_DEPTH) throw new RangeError('the field table is nested too deeply')
  if (type === 'F') return readFields(part, depth + 1)
  const inner: Reader = { bytes: part, at: 0 }
  const items: FieldValue[] = []
  while (inner.at < part.length) items.push(readValue(inner, depth + 1))
  return items
}

const readFields = (bytes: Buffer, depth: number): { [name: string]: FieldValue } => {
  const reader: Reader = { bytes, at: 0 }
  const fields: [string, FieldValue][] = []
  while (reader.at < bytes.length) {
    const name = readBytes(reader, readBytes(reader, 1)[0]!)
    fields.push([decodeText(name, 0, name.length), readValue(reader, depth)])
  }
  return Object.fromEntries(fields)
}

/**
 * Decodes the content of a field table. If it is invalid, the message loses only its headers: the result has the error under the name
 * `undecodable`.
 */
export const decodeFieldTable = (bytes: Buffer): { [name: string]: FieldValue } => {
  try {
    return readFields(bytes, 0)
  } catch (error) {
    return { undecodable: error instanceof Error ? error.message : String(error) }
  }
}
