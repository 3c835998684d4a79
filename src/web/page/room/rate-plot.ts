import { useEffect, useMemo, useState } from 'preact/hooks'
import { html, type View } from '../shared/html.ts'
import { Plot } from '../shared/plot/plot.ts'
import { load, save } from '../shared/storage.ts'
import { roomText as t } from './messages.ts'
import { computeRates } from './model/message-counts.ts'
import { ROLES } from './model/roles.ts'
import type { RoomModel } from './model/room.ts'
import { roleName } from './role-messages.ts'

const KEPT = 'plot'
const MAX_STEPS = 480
const HEIGHT_PX = 84
/** Minimum time between two redraws of the plot, in milliseconds. */
const REDRAW_INTERVAL_MS = 500

interface RatePlotProps {
  readonly room: RoomModel
  /** Milliseconds since 1970; `to` exclusive. */
  readonly onPeriod: (from: number, to: number) => void
}

/** Increments when the room has changed, throttled, the last change included. */
const useThrottledChange = (room: RoomModel): number => {
  const [beat, setBeat] = useState(0)
  useEffect(() => {
    let timer = 0
    const draw = (): void => {
      timer = 0
      setBeat((n) => n + 1)
    }
    // Include messages that were loaded between rendering and this effect.
    draw()
    const end = room.changed.subscribe(() => (timer ||= window.setTimeout(draw, REDRAW_INTERVAL_MS)))
    return () => {
      end()
      clearTimeout(timer)
    }
  }, [room])
  return beat
}

/** Rerenders only when the first message is there, unlike the signal of the room. */
const useHasMessages = (room: RoomModel): boolean => {
  const [hasMessages, setHasMessages] = useState(room.entries.length > 0)
  useEffect(() => {
    const look = (): void => setHasMessages(room.entries.length > 0)
    look()
    return room.changed.subscribe(look)
  }, [room])
  return hasMessages
}

/** Plot of loaded messages per minute by role; a period can be selected. */
export const RatePlot = ({ room, onPeriod }: RatePlotProps): View => {
  const hasMessages = useHasMessages(room)
  const beat = useThrottledChange(room)
  const [shown, setShown] = useState(load(KEPT) !== 'hidden')
  const { times, step, values } = useMemo(() => computeRates(room.tally.minutes, MAX_STEPS), [beat, room.tally])
  const series = useMemo(
    () => ROLES.map((role, index) => ({ label: roleName(role), colour: `--role-${role}`, values: values[index]! })),
    [values, roleName('system')],
  )
  const toggle = (): void => {
    save(KEPT, shown ? 'hidden' : null)
    setShown(!shown)
  }
  // It has its place from the first message on: if it appeared later, it would move the messages that are being read.
  if (!hasMessages) return null
  return html`
    <section class="rate" aria-label=${t('plot')}>
      <div class="rate-head">
        <h2>${t('plot')}</h2>
        <span class="faint">${shown && t('plotNote')}</span>
        <button type="button" class="quiet small" id="plot-toggle" aria-expanded=${shown} onClick=${toggle}>
          ${t(shown ? 'hidePlot' : 'showPlot')}
        </button>
      </div>
      ${
        shown &&
        html`<div style=${{ height: `${HEIGHT_PX}px` }}>
          ${
            times.length > 0 &&
            html`<${Plot}
              times=${times}
              series=${series}
              step=${step}
              stacked
              height=${HEIGHT_PX}
              label=${t('plot')}
              onRange=${(from: number, to: number) => onPeriod(from * 1000, to * 1000)}
            />`
          }
        </div>`
      }
    </section>
  `
}
