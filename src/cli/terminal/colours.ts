/** Labels of DeepSOC's roles, and the nearest of the 256 terminal colours. */
const ROLES: Readonly<Record<string, readonly [label: string, colour: number]>> = {
  _captain: ['captain', 39],
  _manager: ['manager', 42],
  _operator: ['operator', 220],
  _executor: ['executor', 133],
  _expert: ['expert', 208],
  system: ['system', 66],
  ai_assistant: ['AI', 77],
}

export const BOLD = '1'
export const DIM = '2'
export const RED = '38;5;203'
export const YELLOW = '38;5;220'

/** Adds an SGR style to a text, or returns it unchanged. */
export type Styler = (text: string, style: string) => string

/** @param enabled whether the output supports colours */
export const createStyler = (enabled: boolean): Styler =>
  enabled ? (text, style) => `\x1b[${style}m${text}\x1b[0m` : (text) => text

/** Returns label and style of a sender: those of its role if it has one, else its own name. */
export const roleStyle = (from: string | null): { readonly label: string; readonly style: string } => {
  const role = from !== null && Object.hasOwn(ROLES, from) ? ROLES[from] : undefined
  const [label, colour] = role ?? [from ?? '-', 252]
  return { label, style: `38;5;${colour}` }
}
