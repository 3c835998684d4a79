const VARIANT = '89ab'
/** Hexadecimal digits of random data per id. */
const DIGITS = 20
/** Random bytes that are generated at once, for about 400 ids. */
const POOL_BYTES = 4_000

/**
 * Returns a UUID of version 7 (RFC 9562): 48 bits of time, then random bits, so that ids sort by time.
 *
 * @param now milliseconds since 1970
 * @param random 20 hexadecimal digits, lower case
 */
export const uuidv7 = (now: number, random: string): string => appendRandom(timePrefix(now), random)

/** Returns the time of an id and its version. */
const timePrefix = (now: number): string => {
  const time = now.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7`
}

const appendRandom = (prefix: string, random: string): string => {
  const variant = VARIANT[Number.parseInt(random[4]!, 16) & 3]
  return `${prefix}${random.slice(1, 4)}-${variant}${random.slice(5, 8)}-${random.slice(8)}`
}

/**
 * Creates a generator that takes random bytes from a pool: generating them for each id took 20 % of the ingest thread. It formats each
 * millisecond once, which takes longer than the rest of an id.
 *
 * @param randomBytes a cryptographic source
 * @returns a function that creates the id of a message received at `now`, in milliseconds since 1970
 */
export const createUuidV7Generator = (randomBytes: (count: number) => Buffer): ((now: number) => string) => {
  let pool = ''
  let at = 0
  let time = Number.NaN
  let prefix = ''
  return (now) => {
    if (now !== time) {
      time = now
      prefix = timePrefix(now)
    }
    if (at + DIGITS > pool.length) {
      pool = randomBytes(POOL_BYTES).toString('hex')
      at = 0
    }
    at += DIGITS
    return appendRandom(prefix, pool.slice(at - DIGITS, at))
  }
}
