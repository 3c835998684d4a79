/** Colours of DeepSOC's roles, as the nearest ones of the 256 that terminals know. */
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

/** Wraps text into a colour, or leaves it. */
export type Styler = (text: string, style: string) => string

/** @param on whether the output shows colours */
export const createStyler = (on: boolean): Styler =>
  on ? (text, style) => `\x1b[${style}m${text}\x1b[0m` : (text) => text

/** How a sender is shown: a role's own name and colour, anybody else as they call themselves. */
export const roleStyle = (from: string | null): { readonly label: string; readonly style: string } => {
  const known = from !== null && Object.hasOwn(ROLES, from) ? ROLES[from] : undefined
  const [label, colour] = known ?? [from ?? '-', 252]
  return { label, style: `38;5;${colour}` }
}
