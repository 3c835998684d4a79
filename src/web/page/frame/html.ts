import htm from 'htm'
import { type ComponentChildren, h, type VNode } from 'preact'

/** What a component gives back. */
export type View = VNode | null

/** What stands between the tags of a component. */
export type Children = ComponentChildren

/** Markup in JavaScript, by htm. What is put into it is text, whatever it holds: there is no way to put markup in. */
export const html = htm.bind(h) as (strings: TemplateStringsArray, ...values: unknown[]) => VNode
