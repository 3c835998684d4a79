import htm from 'htm'
import { type ComponentChildren, h, type VNode } from 'preact'

/** What a component gives back. */
export type View = VNode | null

/** What stands between the tags of a component. */
export type Children = ComponentChildren

/** Markup in JavaScript, by htm. What is put into it is text, whatever it holds: there is no way to put markup in. */
export const html = (htm as unknown as Htm).bind(h)

/** htm's declaration is that of another kind of module than the one that is bundled. */
interface Htm {
  bind(make: typeof h): (strings: TemplateStringsArray, ...values: unknown[]) => VNode
}
