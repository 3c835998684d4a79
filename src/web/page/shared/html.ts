import htm from 'htm'
import { type ComponentChildren, h, type VNode } from 'preact'

/** Result of a component. */
export type View = VNode | null

/** Children of a component. */
export type Children = ComponentChildren

/** Template literals as markup, by htm. Interpolated strings are always text, never markup. */
export const html = (htm as unknown as Htm).bind(h)

/** htm's type declaration does not match the module format that is bundled. */
interface Htm {
  bind(make: typeof h): (strings: TemplateStringsArray, ...values: unknown[]) => VNode
}
