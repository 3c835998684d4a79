import { language } from '../../shared/i18n.ts'
import { saveText } from '../clipboard.ts'
import type { Entry } from '../model/entry.ts'
import type { RoomModel } from '../model/room.ts'
import { nextTask, runInSlices } from '../model/time-slices.ts'
import { when } from '../model/when.ts'
import { htmlFile, htmlPieces } from './html.ts'
import { markdownPieces } from './markdown.ts'
import { printMessages, reportStyle, sanitizePiece, toReportHead } from './print.ts'

/** Formats of an export; `print` opens the browser's dialog. */
export const EXPORT_FORMATS = ['html', 'markdown', 'lines', 'print'] as const

export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** Returns a file name that is valid on all platforms. */
const fileName = (eventId: string, ending: string): string =>
  `${eventId.replace(/[^\p{L}\p{N}._-]+/gu, '_').slice(0, 80)}.${ending}`

/** Loads the full history, and returns all messages or the filtered ones; null if it cannot be loaded. */
const loadReportMessages = async (
  room: RoomModel,
  isWhole: boolean,
  onLoading: () => void,
): Promise<readonly Entry[] | null> => {
  const { history, selection } = room
  const isDone = (): boolean => ['whole', 'failed'].includes(history.get().is)
  if (history.get().is !== 'whole') {
    onLoading()
    room.loadUntil(() => false)
  }
  await when(room, () => isDone() || !history.get().historyWanted)
  if (history.get().is !== 'whole') return null
  if (isWhole) return room.entries
  await when(room, () => selection.seen === room.entries.length)
  return selection.shown
}

/** Length of the texts of which a file is made. */
const PART_CHARACTERS = 1_000_000

/**
 * Converts pieces and encodes them, both in slices: a file of all at once would block the page for seconds.
 *
 * @returns the parts of the file, in a task of its own: the browser also waits while it joins them
 */
const collect = async <T>(pieces: Iterable<T>, convert: (piece: T) => string): Promise<Blob[]> => {
  const parts: Blob[] = []
  let text = ''
  const add = (piece: T): void => {
    text += convert(piece)
    if (text.length < PART_CHARACTERS) return
    parts.push(new Blob([text]))
    text = ''
  }
  await runInSlices(pieces, add, () => true)
  parts.push(new Blob([text]))
  await nextTask()
  return parts
}

const newNonce = (): string => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))))

/**
 * Saves or prints messages. Loads the full history first; if that fails, nothing is saved, since an incomplete export
 * would look complete.
 *
 * @param isWhole the whole event, or what is filtered
 * @param onLoading called if history must be loaded
 * @returns whether there is an export
 */
export const exportMessages = async (
  room: RoomModel,
  format: ExportFormat,
  isWhole: boolean,
  onLoading: () => void,
): Promise<boolean> => {
  const entries = await loadReportMessages(room, isWhole, onLoading)
  if (entries === null) return false
  const head = toReportHead(room, isWhole)
  const save = (ending: string, type: string, parts: readonly BlobPart[]): void =>
    saveText(fileName(room.eventId, ending), type, parts)
  switch (format) {
    case 'print':
      await printMessages(room, head, entries)
      break
    case 'lines':
      // As published.
      save('jsonl', 'application/x-ndjson', await collect(entries, ({ raw }) => `${raw.replaceAll(/[\r\n]+/g, ' ')}\n`))
      break
    case 'markdown':
      save('md', 'text/markdown', await collect(markdownPieces(head, entries), (piece) => piece))
      break
    case 'html': {
      const body = await collect(htmlPieces(head, entries), sanitizePiece)
      const lang = language.get() === 'zh' ? 'zh-CN' : 'en'
      save('html', 'text/html', htmlFile({ head, body, style: reportStyle(), nonce: newNonce(), lang }))
    }
  }
  return true
}
