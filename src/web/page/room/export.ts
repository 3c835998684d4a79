import { saveText } from './clipboard.ts'
import type { RoomModel } from './model/room.ts'

/** Resolves once a condition on the room holds, looked at whenever the room changes. */
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

/** What may stand in a file's name everywhere. */
const fileName = (eventId: string): string => `${eventId.replace(/[^\p{L}\p{N}._-]+/gu, '_').slice(0, 80)}.jsonl`

/**
 * Saves what the filter lets pass, each message on a line, as it was published. What is not loaded yet is loaded first;
 * a history that cannot be loaded ends it, since half of a room would look like all of it.
 *
 * @param onLoading called if there is something to wait for
 */
export const exportShown = async (room: RoomModel, onLoading: () => void): Promise<void> => {
  const { history, selection } = room
  const isDone = (): boolean => ['whole', 'failed'].includes(history.get().is)
  if (history.get().is !== 'whole') {
    onLoading()
    room.loadUntil(() => false)
  }
  await when(room, () => isDone() || !history.get().wanted)
  if (history.get().is !== 'whole') return
  await when(room, () => selection.seen === room.entries.length)
  const lines = selection.shown.map(({ raw }) => `${raw.replaceAll(/[\r\n]+/g, ' ')}\n`)
  saveText(fileName(room.eventId), 'application/x-ndjson', lines)
}
