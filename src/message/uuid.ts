/**
 * A UUID of version 7 (RFC 9562): 48 bits of time, then random bits, so ids made later sort later.
 *
 * @param now milliseconds since 1970
 * @param random at least 10 random bytes
 */
export const uuidv7 = (now: number, random: Uint8Array): string => {
  const time = now.toString(16).padStart(12, '0')
  const hex = Buffer.from(random.buffer, random.byteOffset, 10).toString('hex')
  const variant = ((random[2]! & 0x3f) | 0x80).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(1, 4)}-${variant}${hex.slice(6, 8)}-${hex.slice(8, 20)}`
}
