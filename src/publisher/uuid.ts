import { randomFillSync } from 'node:crypto'

/** Random bytes are drawn for many ids at once: one draw of 10 bytes costs as much as one of 4 KiB. */
const pool = Buffer.allocUnsafe(4_090)
let used = pool.length

/** A UUID of version 7 (RFC 9562): 48 bits of time, then random bits, so ids made later sort later. */
export const uuidv7 = (now: number = Date.now()): string => {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const hex = pool.toString('hex', used, used + 10)
  const variant = ((pool[used + 2]! & 0x3f) | 0x80).toString(16)
  used += 10
  const time = now.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(1, 4)}-${variant}${hex.slice(6, 8)}-${hex.slice(8, 20)}`
}
