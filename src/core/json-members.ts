/**
 * The text of a JSON object with more members at its end, where they win in every parser that keeps the last of two equal
 * names, as JSON.parse does. What is there already stays as it is written.
 *
 * @param members `"name":value` pairs, joined by commas; not empty
 */
export const appendJsonMembers = (text: string, members: string): string => {
  const open = text.slice(0, text.lastIndexOf('}')).trimEnd()
  // An empty object takes no comma before its first member.
  return `${open}${open.trimStart() === '{' ? '' : ','}${members}}`
}
