/**
 * Decodes text of AMQP, whose bytes can be anything. Where they are not UTF-8, each byte above 127 becomes a lone
 * surrogate (U+DC80 to U+DCFF, as in Python's `surrogateescape`): two different texts never become one, and
 * `isWellFormed` recognises them.
 */
export const decodeText = (bytes: Buffer, start: number, end: number): string => {
  const text = bytes.toString('utf8', start, end)
  // A replacement character is the only trace of an invalid byte; a published one is decoded to itself below.
  if (!text.includes('\uFFFD') || Buffer.from(text).equals(bytes.subarray(start, end))) return text
  const toSurrogate = (byte: string): string => String.fromCharCode(0xdc00 + byte.charCodeAt(0))
  return bytes.toString('latin1', start, end).replace(/[\x80-\xff]/g, toSurrogate)
}
