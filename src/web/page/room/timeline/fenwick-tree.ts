/** Row heights with prefix sums, read and updated in logarithmic time. */
export class FenwickTree {
  #tree: Float64Array
  #heights: Float64Array
  #length: number

  constructor(heights: Float64Array) {
    const { length } = heights
    this.#length = length
    this.#heights = heights
    this.#tree = new Float64Array(length + 1)
    this.#tree.set(heights, 1)
    for (let at = 1; at <= length; at++) {
      const parent = at + (at & -at)
      if (parent <= length) this.#tree[parent]! += this.#tree[at]!
    }
  }

  get length(): number {
    return this.#length
  }

  /** Appends a row. */
  push(height: number): void {
    const at = this.#length + 1
    if (at > this.#heights.length) {
      this.#heights = grown(this.#heights, 2 * at)
      this.#tree = grown(this.#tree, 2 * at + 1)
    }
    let sum = height
    for (let part = at - 1; part > at - (at & -at); part -= part & -part) sum += this.#tree[part]!
    this.#heights[at - 1] = height
    this.#tree[at] = sum
    this.#length = at
  }

  get total(): number {
    return this.offset(this.length)
  }

  of(index: number): number {
    return this.#heights[index]!
  }

  set(index: number, height: number): void {
    const change = height - this.#heights[index]!
    this.#heights[index] = height
    for (let at = index + 1; at <= this.length; at += at & -at) this.#tree[at]! += change
  }

  /** Returns the sum of the heights of all rows before `index`. */
  offset(index: number): number {
    let sum = 0
    for (let at = index; at > 0; at -= at & -at) sum += this.#tree[at]!
    return sum
  }

  /** Returns the row at an offset; the last one beyond the end, 0 if there are no rows. */
  at(offset: number): number {
    let index = 0
    let left = offset
    for (let step = 2 ** Math.floor(Math.log2(Math.max(1, this.length))); step > 0; step >>= 1) {
      const next = index + step
      if (next > this.length || this.#tree[next]! > left) continue
      index = next
      left -= this.#tree[next]!
    }
    return Math.max(0, Math.min(index, this.length - 1))
  }
}

const grown = (from: Float64Array, length: number): Float64Array => {
  const to = new Float64Array(length)
  to.set(from)
  return to
}
