const isSpace = (char: string | undefined): boolean => char === ' ' || char === '\n' || char === '\r' || char === '\t'

/** Removes only JSON whitespace, at both ends. */
const trimRange = (text: string, from: number, to: number): string => {
  while (from < to && isSpace(text[from])) from++
  while (to > from && isSpace(text[to - 1])) to--
  return text.slice(from, to)
}

/**
 * Returns the texts of the elements of a JSON array unchanged, so that a batch keeps all digits of its numbers. The elements are not
 * parsed: the caller validates them one by one, since parsing a large crafted array at once takes seconds.
 *
 * @param max the text is read only as far as this many elements and one more
 * @returns null if the text is not an array, as far as it was read
 */
export const splitJsonArray = (text: string, max: number): string[] | null => {
  const elements: string[] = []
  let depth = 0
  let inString = false
  let start = text.indexOf('[') + 1
  if (start === 0 || trimRange(text, 0, start) !== '[') return null
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (inString) {
      if (char === '\\') at++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') depth++
    else if ((char === ',' || char === ']') && depth === 0) {
      const element = trimRange(text, start, at)
      const isLast = char === ']'
      if (element !== '') elements.push(element)
      else if (!isLast || elements.length > 0) return null
      if (elements.length > max) return elements
      if (isLast) return trimRange(text, at + 1, text.length) === '' ? elements : null
      start = at + 1
    } else if (char === '}' || char === ']') {
      if (--depth < 0) return null
    }
  }
  return null
}
