/** True if the texts are equal or differ by one inserted, deleted, substituted or transposed character. */
export const isWithinOneEdit = (a: string, b: string): boolean => {
  let start = 0
  while (start < a.length && a[start] === b[start]) start++
  let end = 0
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++
  const [left, right] = [a.slice(start, a.length - end), b.slice(start, b.length - end)]
  if (left.length <= 1 && right.length <= 1) return true
  return left.length === 2 && right.length === 2 && left[0] === right[1] && left[1] === right[0]
}

/**
 * Finds the name that was probably meant by a text: one that is one edit away, ignoring case, or the only one that
 * begins with it.
 */
export const findSimilarName = (text: string, names: readonly string[]): string | undefined => {
  const lowerCase = text.toLowerCase()
  const similar = names.find((name) => isWithinOneEdit(lowerCase, name))
  if (similar !== undefined) return similar
  const longer = names.filter((name) => name.startsWith(lowerCase))
  return longer.length === 1 && lowerCase.length > 1 ? longer[0] : undefined
}
