/** Marks a number that was taken for a text; nobody writes it. */
const MARK = '\ue000'
const LONG_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]{15,}/g

/** JSON.parse that leaves numbers alone which it could not hold: {@link stringifyLosslessJson} prints them digit for digit. */
export const parseLosslessJson = (text: string): unknown =>
  JSON.parse(text.replace(LONG_NUMBER, (part) => (part.startsWith('"') ? part : `"${MARK}${part}"`)))

/** A value of parseExact as JSON over several lines. */
export const stringifyLosslessJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).replaceAll(new RegExp(`"${MARK}([^"]*)"`, 'g'), '$1')
