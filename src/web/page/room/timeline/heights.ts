/** The heights of many rows and the sums of them, each asked or changed in logarithmic time (a Fenwick tree). */
export class Heights {
  readonly #tree: Float64Array
  readonly #heights: Float64Array
  readonly #top: number

  constructor(heights: Float64Array) {
    const { length } = heights
    this.#heights = heights
    this.#tree = new Float64Array(length + 1)
    this.#tree.set(heights, 1)
    for (let at = 1; at <= length; at++) {
      const parent = at + (at & -at)
      if (parent <= length) this.#tree[parent]! += this.#tree[at]!
    }
    this.#top = 2 ** Math.floor(Math.log2(Math.max(1, length)))
  }

  get length(): number {
    return this.#heights.length
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

  /** The sum of the heights of all rows before `index`. */
  offset(index: number): number {
    let sum = 0
    for (let at = index; at > 0; at -= at & -at) sum += this.#tree[at]!
    return sum
  }

  /** The row at this offset; the last one for an offset beyond the end, 0 where there are none. */
  at(offset: number): number {
    let index = 0
    let left = offset
    for (let step = this.#top; step > 0; step >>= 1) {
      const next = index + step
      if (next > this.length || this.#tree[next]! > left) continue
      index = next
      left -= this.#tree[next]!
    }
    return Math.max(0, Math.min(index, this.length - 1))
  }
}
