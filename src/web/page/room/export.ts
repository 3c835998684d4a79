import { saveText } from './clipboard.ts'
import type { RoomModel } from './model/room.ts'

/** Resolves once a condition on the room holds; it is checked whenever the room changes. */
const when = (room: RoomModel, holds: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => {
      if (!holds()) return
      for (const end of ends) end()
      resolve()
    }
    const ends = [room.changed.subscribe(look), room.history.subscribe(look)]
    look()
  })

/** Returns a file name that is valid on all platforms. */
const fileName = (eventId: string): string => `${eventId.replace(/[^\p{L}\p{N}._-]+/gu, '_').slice(0, 80)}.jsonl`

/**
 * Saves the filtered messages as JSON lines, as published. Loads the full history first; if that fails, nothing is
 * saved, since an incomplete export would look complete.
 *
 * @param onLoading called if history must be loaded
 */
export const exportShown = async (room: RoomModel, onLoading: () => void): Promise<void> => {
  const { history, selection } = room
  const isDone = (): boolean => ['whole', 'failed'].includes(history.get().is)
  if (history.get().is !== 'whole') {
    onLoading()
    room.loadUntil(() => false)
  }
  await when(room, () => isDone() || !history.get().historyWanted)
  if (history.get().is !== 'whole') return
  await when(room, () => selection.seen === room.entries.length)
  const lines = selection.shown.map(({ raw }) => `${raw.replaceAll(/[\r\n]+/g, ' ')}\n`)
  saveText(fileName(room.eventId), 'application/x-ndjson', lines)
}
