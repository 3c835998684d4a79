/** Returns numbers from 0 up to 1; the same seed gives the same numbers (mulberry32). */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Returns the values in a random order. */
export const shuffled = <T>(values: readonly T[], random: () => number): T[] => {
  const left = [...values]
  return Array.from(values, () => left.splice(Math.floor(random() * left.length), 1)[0]!)
}
