import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Caller } from '../../caller.ts'
import { escapeLine } from '../../shared/escape-control-chars.ts'
import { useSignalValue } from '../../shared/signal.ts'
import { load } from '../../shared/storage.ts'
import { TYPED_NAME } from '../composer.ts'
import { compileAttention, getPageUser, type Me, NOBODY } from '../model/attention.ts'
import type { RoomModel } from '../model/room.ts'
import { toExcerpt } from '../report/blocks.ts'
import { toMessageLine } from '../report/head.ts'
import { noticeText as t } from './messages.ts'
import { saveNotices, wantsNotices } from './setting.ts'
import { type AttentionNotice, AttentionWatch } from './watch.ts'

const MAX_CHARACTERS = 160

const isAway = (): boolean => document.hidden || !document.hasFocus()

const isPermitted = (): boolean => typeof Notification === 'function' && Notification.permission === 'granted'

const show = (room: RoomModel, { latest, reason, messages }: AttentionNotice): void => {
  const { eventId, profile } = room
  const event = escapeLine(profile.name || eventId)
  const { who, name } = toMessageLine(latest)
  const text = toExcerpt(latest, MAX_CHARACTERS)
  try {
    // The same tag replaces the notification before, also that of another tab.
    const shown = new Notification(messages > 1 ? t('several', { n: messages, event }) : t(reason, { event }), {
      body: t('from', { who: name || who, text }),
      tag: `deepsoc-gateway ${eventId}`,
    })
    shown.onclick = () => {
      window.focus()
      location.hash = `#${latest.id}`
      shown.close()
    }
  } catch {
    // Chrome on Android shows notifications of service workers only; the title of the tab is marked all the same.
  }
}

/** Asks the user for the permission if the browser has not done so yet. @returns whether notifications are shown */
const requestPermission = async (): Promise<boolean> => {
  if (typeof Notification !== 'function') return false
  if (Notification.permission === 'default') await Notification.requestPermission()
  return isPermitted()
}

/** Setting and state of the notices of a room. */
export interface Notices {
  readonly isOn: boolean
  /** The browser shows notifications; if not, only the title is marked. Null while the user is asked. */
  readonly isShown: boolean | null
  /** Number of messages that need attention and have arrived while the user was away. */
  readonly pending: number
  readonly onToggle: () => void
}

/** Notifies the user of new messages that need attention, if it wants that for this room. */
export const useNotices = (room: RoomModel, caller: Caller | null): Notices => {
  const [isOn, setOn] = useState(() => wantsNotices(room.eventId))
  const [isShown, setShown] = useState<boolean | null>(isPermitted)
  const wanted = useRef(isOn)
  wanted.current = isOn
  const watch = useMemo(
    () => new AttentionWatch({ isAway, notify: (notice) => isPermitted() && show(room, notice) }),
    [room],
  )
  const pending = useSignalValue(watch.pending)
  useEffect(() => {
    let me: Me = NOBODY
    let getAttentionReason = compileAttention(me)
    const identify = (): void => {
      // A caller without a subject can change its name at any time.
      const next = caller === null ? NOBODY : getPageUser(caller, load(TYPED_NAME) ?? '')
      if (next.userId === me.userId && String(next.names) === String(me.names)) return
      me = next
      getAttentionReason = compileAttention(me)
      room.selection.setMe(me)
    }
    const look = (): void => {
      identify()
      watch.look(room.entries, room.line.get().channel !== null, wanted.current ? getAttentionReason : null)
    }
    const back = (): void => void (isAway() || watch.seen())
    look()
    const ends = [room.changed.subscribe(look), room.line.subscribe(look)]
    document.addEventListener('visibilitychange', back)
    addEventListener('focus', back)
    return () => {
      for (const end of ends) end()
      document.removeEventListener('visibilitychange', back)
      removeEventListener('focus', back)
      watch.seen()
    }
  }, [room, caller, watch])
  const onToggle = async (): Promise<void> => {
    saveNotices(room.eventId, !isOn)
    setOn(!isOn)
    if (isOn) return
    setShown(null)
    setShown(await requestPermission())
  }
  return { isOn, isShown, pending, onToggle }
}
