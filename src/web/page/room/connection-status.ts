import { useEffect, useState } from 'preact/hooks'
import type { ChannelState, Why } from '../../client/index.ts'
import { lineText, whyText } from '../shared/connection-messages.ts'
import { visibleLine } from '../shared/escape-control-chars.ts'
import { clockTime, count } from '../shared/format.ts'
import { type Children, html, type View } from '../shared/html.ts'
import { askForToken } from '../shared/session.ts'
import { useCell } from '../shared/signal.ts'
import type { Line, Room } from './model/room.ts'

/** What the line is in: the channel's state, or that of the first page, which comes before it. */
export type LineState = ChannelState | 'loading'

export const stateOf = ({ channel, trouble }: Line): LineState => {
  if (trouble !== null) return trouble.retryAt === null ? 'closed' : 'waiting'
  return channel?.state ?? 'loading'
}

const whyOf = ({ channel, trouble }: Line): Why | null => trouble?.why ?? channel?.why ?? null

const retryAtOf = ({ channel, trouble }: Line): number | null =>
  trouble === null ? (channel?.retryAt ?? null) : trouble.retryAt

/** A reason in one line: what it is, and the gateway's own words where there are any. */
export const reasonText = ({ code, status, message }: Why): string => {
  const known = whyText(code)
  // A known reason is said in the reader's language; what else the gateway says is in English.
  const said = known === code ? [status, message ?? code].filter(Boolean).join(' ') : known
  return visibleLine(said)
}

/** State and reason in one line, without figures that move: what is worth being said aloud. */
export const stateText = (line: Line): string => {
  const state = lineText(stateOf(line))
  const why = whyOf(line)
  return why === null ? state : lineText('because', { state, why: reasonText(why) })
}

/** Draws again each second, for countdowns. */
const useClock = (everyMs: number): number => {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

const countdown = (retryAt: number | null, now: number): string =>
  retryAt === null ? '' : lineText('waitingFor', { n: Math.max(0, Math.ceil((retryAt - now) / 1000)) })

const Moving = ({ room, line }: { readonly room: Room; readonly line: Line }): View => {
  const now = useClock(stateOf(line) === 'catching_up' ? 200 : 1_000)
  const progress = room.status?.progress
  if (progress) {
    const { messages, at, from, to } = progress
    return html`${lineText('catchingUpTo', { n: messages, at: Math.max(0, at - from), to: Math.max(0, to - from) })}`
  }
  return html`${stateText(line)}${' '}<span class="countdown">${countdown(retryAtOf(line), now)}</span>`
}

const Fact = ({ name, children }: { readonly name: string; readonly children?: Children }): View =>
  html`<div><dt>${name}</dt><dd class="number">${children}</dd></div>`

const Facts = ({ room, line }: { readonly room: Room; readonly line: Line }): View => {
  useClock(1_000)
  const { status } = room
  const why = whyOf(line)
  const { reset } = line
  return html`
    <dl class="facts">
      <${Fact} name=${lineText('state')}><${Moving} room=${room} line=${line} /></${Fact}>
      ${why?.hint && html`<${Fact} name=${lineText('hint')}>${visibleLine(why.hint)}</${Fact}>`}
      ${
        status !== null &&
        html`
          <${Fact} name=${lineText('cursor')}>${status.cursor === null ? '–' : `#${count(status.cursor)}`}</${Fact}>
          <${Fact} name=${lineText('resumedFrom')}>
            ${status.resumedFrom === null ? lineText('fresh') : html`<span id="resumed-from">#${status.resumedFrom}</span>`}
          </${Fact}>
          <${Fact} name=${lineText('heartbeat')}>
            <span id="heartbeat">${status.heartbeatAt === null ? lineText('none') : clockTime(status.heartbeatAt)}</span>
          </${Fact}>
          <${Fact} name=${lineText('shared')}>${lineText(status.connection)}</${Fact}>
        `
      }
      ${
        reset !== null &&
        html`<${Fact} name=${lineText('reset')}>
          <span id="reset">${lineText('resetAt', { why: whyText(reset.reason), time: clockTime(reset.at) })}</span>
        </${Fact}>`
      }
    </dl>
  `
}

/** How the room stands to its gateway: a word at a glance, all of it when it is opened. */
export const LineMark = ({ room }: { readonly room: Room }): View => {
  const line = useCell(room.line)
  const [open, setOpen] = useState(false)
  const state = stateOf(line)
  return html`
    <details
      class="line"
      id="state"
      data-state=${state}
      open=${open}
      onToggle=${(event: Event) => setOpen((event.currentTarget as HTMLDetailsElement).open)}
      onKeyDown=${(event: KeyboardEvent) => event.key === 'Escape' && setOpen(false)}
    >
      <summary><span class="dot" aria-hidden="true"></span><span class="line-text"><${Moving} room=${room} line=${line} /></span></summary>
      ${
        open &&
        html`<div class="line-facts panel">
          <h2>${lineText('connection')}</h2>
          <${Facts} room=${room} line=${line} />
          ${
            (state === 'waiting' || state === 'closed') &&
            html`<button type="button" id="retry" onClick=${() => room.retry()}>${lineText('now')}</button>`
          }
        </div>`
      }
    </details>
  `
}

/** A line that is closed brings nothing any more, so it is said where the messages are, with what can be done. */
export const ClosedBar = ({ room }: { readonly room: Room }): View => {
  const line = useCell(room.line)
  const why = whyOf(line)
  if (stateOf(line) !== 'closed' || why === null) return null
  return html`
    <div class="closed-bar" id="closed">
      <span>${stateText(line)}${why.hint ? ` · ${visibleLine(why.hint)}` : ''}</span>
      <button type="button" class="small" id="reopen" onClick=${() => room.retry()}>${lineText('now')}</button>
      ${
        why.status === 401 &&
        html`<button type="button" class="small" id="sign-in" onClick=${() => askForToken(reasonText(why))}>
          ${lineText('signIn')}
        </button>`
      }
    </div>
  `
}
