import { useEffect, useRef, useState } from 'preact/hooks'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { saveReadMarker } from '../shared/read-markers.ts'
import { useSignalValue } from '../shared/signal.ts'
import { roomText as t } from './messages.ts'
import type { RoomModel } from './model/room.ts'
import { userName } from './model/user-names.ts'
import { agentName, roleName } from './role-messages.ts'
import { lowerBound } from './timeline/rows.ts'
import type { VirtualList } from './timeline/virtual-list.ts'

/** Minimum time between two screen reader announcements, in milliseconds. */
const SPEAK_MS = 10_000

/** Returns the number of shown messages since the user was last at the end, and saves the read marker. */
export const useUnreadCount = (room: RoomModel, scroller: VirtualList): number => {
  const last = useRef<number | null>(null)
  const newest = room.entries.at(-1)?.id ?? 0
  if (scroller.atEnd || last.current === null) last.current = newest
  const here = scroller.atEnd && !document.hidden
  const { total, logId } = room
  useEffect(() => {
    if (here && newest > 0 && total !== null) saveReadMarker(logId, room.eventId, { id: newest, messages: total })
  }, [here, newest, total])
  return scroller.atEnd ? 0 : scroller.rows.entries.length - lowerBound(scroller.rows, last.current + 1)
}

/** Returns the screen reader announcement of new messages: their number, and the sender of the last. */
export const useAnnouncement = (room: RoomModel): string => {
  const [said, setSaid] = useState('')
  const from = useRef<number | null>(null)
  useEffect(() => {
    const timer = setInterval(() => {
      const last = room.entries.at(-1)
      const before = from.current
      from.current = last?.id ?? null
      if (last === undefined || before === null || last.id <= before) return setSaid('')
      const n = room.entries.length - lowerBound({ entries: room.entries }, before + 1)
      const name = last.user === null ? agentName(last.from) : agentName(userName(last.user))
      const who = name || roleName(last.role)
      setSaid(t('announce', { n, who }))
    }, SPEAK_MS)
    return () => clearInterval(timer)
  }, [room])
  return said
}

/**
 * Sets the title of the tab: the event, the number of messages received while the tab was hidden, and a mark if some
 * need attention.
 */
export const useTitle = (room: RoomModel, isMarked: boolean): void => {
  const version = useSignalValue(room.changed)
  const seen = useRef(0)
  const [, look] = useState(0)
  useEffect(() => {
    const onVisible = (): void => look((n) => n + 1)
    document.addEventListener('visibilitychange', onVisible)
    return () => document.removeEventListener('visibilitychange', onVisible)
  }, [])
  const newest = room.entries.at(-1)?.id ?? 0
  if (!document.hidden) seen.current = newest
  useEffect(() => {
    const behind = room.entries.length - lowerBound({ entries: room.entries }, seen.current + 1)
    const name = escapeLine(room.profile.name || room.eventId)
    const mark = isMarked ? '⚠ ' : ''
    document.title = `${mark}${document.hidden && behind > 0 ? `(${behind}) ` : ''}${name} – deepsoc-gateway`
  }, [room, version, document.hidden, isMarked])
}
