/** A line of input. `tooLong` is the size of a line whose bytes were discarded. */
export type InputLine =
  | { readonly number: number; readonly bytes: Buffer; readonly end: number }
  | { readonly number: number; readonly tooLong: number; readonly end: number }

/**
 * Splits input into lines, with at most one line in memory. `end` is the byte offset of the end of the line.
 *
 * @param maxBytes maximum bytes of a line; only the size of a longer one is returned
 */
export async function* readLines(input: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<InputLine> {
  let parts: Buffer[] = []
  let size = 0
  let number = 0
  let read = 0
  const finishLine = (end: number): InputLine => {
    const line: InputLine =
      size > maxBytes
        ? { number: ++number, tooLong: size, end }
        : { number: ++number, bytes: Buffer.concat(parts), end }
    parts = []
    size = 0
    return line
  }
  const addPart = (part: Buffer) => {
    size += part.length
    if (size <= maxBytes) parts.push(part)
    else parts = []
  }
  for await (const chunk of input) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      addPart(chunk.subarray(from, at))
      from = at + 1
      yield finishLine(read + from)
    }
    read += chunk.length
    if (from < chunk.length) addPart(chunk.subarray(from))
  }
  if (size > 0) yield finishLine(read)
}
