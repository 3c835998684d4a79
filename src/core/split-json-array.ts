const isSpace = (char: string | undefined): boolean => char === ' ' || char === '\n' || char === '\r' || char === '\t'

/** What JSON takes for space at both ends is cut off, and nothing else. */
const trimmed = (text: string, from: number, to: number): string => {
  while (from < to && isSpace(text[from])) from++
  while (to > from && isSpace(text[to - 1])) to--
  return text.slice(from, to)
}

/**
 * The texts of the elements of a JSON array, cut out as they stand, so that a batch keeps its numbers digit
 * for digit. The elements are not parsed: whether each is JSON is for the caller to find out, one by one, since a
 * large array made for that takes seconds to parse in one go.
 *
 * @returns null where no elements make it an array
 */
export const splitJsonArray = (text: string): string[] | null => {
  const elements: string[] = []
  let depth = 0
  let inString = false
  let start = text.indexOf('[') + 1
  if (start === 0 || trimmed(text, 0, start) !== '[') return null
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (inString) {
      if (char === '\\') at++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') depth++
    else if ((char === ',' || char === ']') && depth === 0) {
      const element = trimmed(text, start, at)
      const last = char === ']'
      if (element !== '') elements.push(element)
      else if (!last || elements.length > 0) return null
      if (last) return trimmed(text, at + 1, text.length) === '' ? elements : null
      start = at + 1
    } else if (char === '}' || char === ']') {
      if (--depth < 0) return null
    }
  }
  return null
}
