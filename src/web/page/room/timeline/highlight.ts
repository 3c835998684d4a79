import { useEffect, useState } from 'preact/hooks'
import { runInSlices } from '../model/time-slices.ts'

/** Name of the highlight, also in timeline.css. */
const NAME = 'found'
/** Marked occurrences at most. */
const MAX_RANGES = 2_000

/** Returns where a text contains another one, ignoring case. Pure. */
export const occurrences = (text: string, wanted: string): number[] => {
  const [all, part] = [text.toLowerCase(), wanted.toLowerCase()]
  // Some letters have another length in lower case, which would move all that follows.
  if (part === '' || all.length !== text.length) return []
  const found: number[] = []
  for (let at = all.indexOf(part); at >= 0; at = all.indexOf(part, at + part.length)) found.push(at)
  return found
}

/** Returns the text that a search has to mark; empty for a search by db_id. Pure. */
export const markedText = (search: string): string => (/^\s*#\d+\s*$/.test(search) ? '' : search.trim())

function* textNodes(root: Node): Generator<Text> {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) yield node as Text
}

const NONE: ReadonlySet<number> = new Set()
const isEqual = (a: ReadonlySet<number>, b: ReadonlySet<number>): boolean =>
  a.size === b.size && [...a].every((id) => b.has(id))

/** In a part that is collapsed, or in an excerpt, which is there only because the match is nowhere else. */
const isHidden = (element: Element): boolean =>
  element.closest('details:not([open]) > :not(summary), .excerpt') !== null

/**
 * Marks a text in the rows, without changing them: after each rendering, in slices.
 *
 * @returns the db_ids of the rows in which the text cannot be seen, such as in a part that is collapsed
 */
export const useHighlight = (rows: () => HTMLElement | null, search: string): ReadonlySet<number> => {
  const [hidden, setHidden] = useState(NONE)
  useEffect(() => {
    const wanted = markedText(search)
    const root = rows()
    // Missing in older browsers, where the messages found are not marked.
    const canMark = 'highlights' in CSS
    if (wanted === '' || root === null) {
      setHidden(NONE)
      return void (canMark && CSS.highlights.delete(NAME))
    }
    let isOver = false
    const ranges: StaticRange[] = []
    const seen = new Set<Element>()
    const mark = (node: Text): void => {
      const found = node.isConnected ? occurrences(node.data, wanted) : []
      const element = node.parentElement
      if (found.length === 0 || element === null) return
      if (!isHidden(element)) seen.add(element.closest('.row')!)
      for (const at of found.slice(0, MAX_RANGES - ranges.length)) {
        ranges.push(
          new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + wanted.length }),
        )
      }
    }
    void runInSlices(textNodes(root), mark, () => !isOver).then((isDone) => {
      if (!isDone) return
      if (canMark) CSS.highlights.set(NAME, new Highlight(...ranges))
      const others = [...root.children].filter((row) => !seen.has(row))
      const next = new Set(others.map((row) => Number((row as HTMLElement).dataset.id)))
      setHidden((last) => (isEqual(last, next) ? last : next))
    })
    return () => {
      isOver = true
    }
  })
  useEffect(() => () => void ('highlights' in CSS && CSS.highlights.delete(NAME)), [])
  return hidden
}
