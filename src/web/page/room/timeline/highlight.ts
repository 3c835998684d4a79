import { useEffect } from 'preact/hooks'
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

/** Marks a text in the rows, without changing them: after each rendering, in slices. */
export const useHighlight = (rows: () => HTMLElement | null, search: string): void => {
  useEffect(() => {
    // Missing in older browsers, where the messages found are not marked.
    if (!('highlights' in CSS)) return
    const wanted = markedText(search)
    const root = rows()
    if (wanted === '' || root === null) return void CSS.highlights.delete(NAME)
    let isOver = false
    const highlight = new Highlight()
    const mark = (node: Text): void => {
      for (const at of node.isConnected ? occurrences(node.data, wanted) : []) {
        if (highlight.size >= MAX_RANGES) return
        highlight.add(
          new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + wanted.length }),
        )
      }
    }
    void runInSlices(textNodes(root), mark, () => !isOver).then((isDone) => {
      if (isDone) CSS.highlights.set(NAME, highlight)
    })
    return () => {
      isOver = true
    }
  })
  useEffect(() => () => void ('highlights' in CSS && CSS.highlights.delete(NAME)), [])
}
