/** Deterministic random numbers: the same seed gives the same sequence. */
export class SeededRandom {
  #state: number

  /** @param seed any whole number */
  constructor(seed: number) {
    // Spreads adjacent seeds over the state space.
    this.#state = Math.imul(seed ^ (seed / 2 ** 32), 0x9e3779b1) >>> 0
  }

  /** Returns a number from 0 (inclusive) to 1 (exclusive), by mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** Returns an integer within the bounds, both inclusive. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)]!
  }

  hex(digits: number): string {
    return Array.from({ length: digits }, () => this.integer(0, 15).toString(16)).join('')
  }

  /** Returns a UUID of version 4. */
  uuid(): string {
    const variant = this.pick(['8', '9', 'a', 'b'])
    return `${this.hex(8)}-${this.hex(4)}-4${this.hex(3)}-${variant}${this.hex(3)}-${this.hex(12)}`
  }

  /** Returns an address of the ranges reserved for documentation (RFC 5737). */
  publicAddress(): string {
    return `${this.pick(['203.0.113', '198.51.100', '192.0.2'])}.${this.integer(2, 250)}`
  }

  privateAddress(): string {
    return `10.${this.integer(10, 40)}.${this.integer(1, 60)}.${this.integer(10, 240)}`
  }
}
