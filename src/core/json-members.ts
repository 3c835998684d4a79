/**
 * Returns the text of a JSON object with members appended, where they take precedence in every parser that keeps the last of two equal
 * names, as JSON.parse does. The existing text is not changed.
 *
 * @param members `"name":value` pairs, joined by commas; not empty
 */
export const appendJsonMembers = (text: string, members: string): string => {
  const open = text.slice(0, text.lastIndexOf('}')).trimEnd()
  // An empty object takes no comma before its first member.
  return `${open}${open.trimStart() === '{' ? '' : ','}${members}}`
}
