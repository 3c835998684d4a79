/**
 * The texts of the elements of a JSON array, cut out as they stand, so that a batch keeps its numbers digit
 * for digit. The text must already have passed JSON.parse as an array.
 */
export const splitArray = (text: string): string[] => {
  const elements: string[] = []
  let depth = 0
  let inString = false
  let start = text.indexOf('[') + 1
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (inString) {
      if (char === '\\') at++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') depth++
    else if ((char === ',' || char === ']') && depth === 0) {
      const element = text.slice(start, at).trim()
      if (element !== '') elements.push(element)
      start = at + 1
      if (char === ']') break
    } else if (char === '}' || char === ']') depth--
  }
  return elements
}
