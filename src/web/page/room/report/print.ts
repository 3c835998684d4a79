import DOMPurify from 'dompurify'
import { useEffect } from 'preact/hooks'
import { MARKDOWN_TAGS } from '../body/markdown.ts'
import type { Entry } from '../model/entry.ts'
import { EMPTY_FILTER } from '../model/filter.ts'
import type { RoomModel } from '../model/room.ts'
import { runInSlices } from '../model/time-slices.ts'
import type { ReportHead } from './head.ts'
import { htmlPieces, pageRule } from './html.ts'

/** The pieces are escaped already; the sanitizer is a second line of defence. */
const SANITIZER = {
  ALLOWED_TAGS: [...MARKDOWN_TAGS, ...'header h1 h2 h3 dl dt dd div article span time'.split(' ')],
  ALLOWED_ATTR: ['id', 'class', 'dir', 'datetime', 'data-tone', 'data-depth', 'start'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
}

/** Sanitises a piece of a report. */
export const sanitizePiece = (piece: string): string => DOMPurify.sanitize(piece, SANITIZER)

const sanitizeToFragment = (piece: string): DocumentFragment =>
  DOMPurify.sanitize(piece, { ...SANITIZER, RETURN_DOM_FRAGMENT: true })

/** Describes the event of a room for a report. @param isWhole whether it has all messages, or the filtered ones */
export const toReportHead = ({ eventId, profile, total, selection }: RoomModel, isWhole: boolean): ReportHead => ({
  eventId,
  name: profile.name,
  severity: profile.severity,
  status: profile.status,
  total,
  filter: isWhole ? EMPTY_FILTER : selection.filter,
  url: location.origin + location.pathname,
  at: Date.now(),
})

const emptyCopy = (): HTMLElement => {
  const copy = document.createElement('div')
  copy.className = 'report print-copy'
  return copy
}

/** The copy of a room that is printed instead of the page; null while none is needed. */
let prepared: { readonly copy: HTMLElement; readonly head: ReportHead } | null = null

/** The room on the page; null outside of rooms. */
let shownRoom: RoomModel | null = null

/** Copies the loaded and shown messages at once, since the browser waits for no promise before it prints. */
const copyNow = (room: RoomModel): NonNullable<typeof prepared> => {
  const [copy, head] = [emptyCopy(), toReportHead(room, false)]
  for (const piece of htmlPieces(head, room.selection.shown)) copy.append(sanitizeToFragment(piece))
  return { copy, head }
}

/**
 * Prints messages of a room, whole and without controls, unless the room is left. Resolves when the browser's dialog has
 * opened or was closed.
 */
export const printMessages = async (room: RoomModel, head: ReportHead, entries: readonly Entry[]): Promise<void> => {
  const copy = emptyCopy()
  const add = (piece: string): void => copy.append(sanitizeToFragment(piece))
  if (!(await runInSlices(htmlPieces(head, entries), add, () => room === shownRoom))) return
  prepared = { copy, head }
  print()
}

const pageSheet = (): CSSStyleSheet | undefined =>
  [...document.styleSheets].find(({ href }) => href?.endsWith('/page.css'))

/** Returns the style rules of reports from the style sheet of the page. */
export const reportStyle = (): string =>
  [...(pageSheet()?.cssRules ?? [])]
    .map(({ cssText }) => cssText)
    .filter((rule) => rule.includes('.report'))
    .join('\n')

/** Prints a copy with all loaded and shown messages instead of the page, of which only a part is rendered. */
export const usePrintCopy = (room: RoomModel): void => {
  useEffect(() => {
    shownRoom = room
    let ruleAt = -1
    const remove = (): void => {
      prepared?.copy.remove()
      prepared = null
      if (ruleAt >= 0) pageSheet()?.deleteRule(ruleAt)
      ruleAt = -1
      document.body.classList.remove('printing')
    }
    const add = (): void => {
      prepared ??= copyNow(room)
      document.body.append(prepared.copy)
      document.body.classList.add('printing')
      const sheet = pageSheet()
      if (sheet !== undefined && ruleAt < 0) ruleAt = sheet.insertRule(pageRule(prepared.head), sheet.cssRules.length)
    }
    addEventListener('beforeprint', add)
    addEventListener('afterprint', remove)
    return () => {
      removeEventListener('beforeprint', add)
      removeEventListener('afterprint', remove)
      remove()
      shownRoom = null
    }
  }, [room])
}
