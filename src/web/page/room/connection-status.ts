import { useEffect, useRef, useState } from 'preact/hooks'
import type { ChannelState, StateReason } from '../../client/index.ts'
import { connectionText, reasonCodeText } from '../shared/connection-messages.ts'
import { errorHint, errorTitle } from '../shared/error-messages-zh.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { clockTime, count } from '../shared/format.ts'
import { type Children, html, type View } from '../shared/html.ts'
import { askForToken } from '../shared/session.ts'
import { useSignalValue } from '../shared/signal.ts'
import type { ConnectionInfo, RoomModel } from './model/room.ts'

/** State of the channel, or `loading` until the first page is there. */
type LineState = ChannelState | 'loading'

const getState = ({ channel, error }: ConnectionInfo): LineState => {
  if (error !== null) return error.retryAt === null ? 'closed' : 'waiting'
  return channel?.state ?? 'loading'
}

const getReason = ({ channel, error }: ConnectionInfo): StateReason | null => error?.reason ?? channel?.reason ?? null

const getRetryAt = ({ channel, error }: ConnectionInfo): number | null =>
  error === null ? (channel?.retryAt ?? null) : error.retryAt

/** True if the gateway has refused the room for good: there is nothing but the reason to show. */
export const isRefused = ({ error }: ConnectionInfo): boolean => error !== null && error.retryAt === null

/** Returns a reason as one line: the page's text for its code, else the gateway's message. */
const reasonText = ({ code, status, message }: StateReason): string => {
  const known = reasonCodeText(code)
  if (known !== code) return escapeLine(known)
  return escapeLine([status, errorTitle(code) || (message ?? code)].filter(Boolean).join(' '))
}

/** Returns the hint of a reason. That of a refused token is for programs: a person signs in again. */
const hintText = ({ code, hint = '', status }: StateReason): string =>
  status === 401 ? '' : escapeLine(errorHint(code, hint))

/** Returns state and reason as one line without countdowns, for screen readers. */
export const stateText = (line: ConnectionInfo): string => {
  const state = connectionText(getState(line))
  const reason = getReason(line)
  return reason === null ? state : connectionText('because', { state, why: reasonText(reason) })
}

/** Re-renders the component at an interval, for countdowns. */
const useClock = (everyMs: number): number => {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

const countdown = (retryAt: number | null, now: number): string =>
  retryAt === null ? '' : connectionText('waitingFor', { n: Math.max(0, Math.ceil((retryAt - now) / 1000)) })

const LiveFacts = ({ room, line }: { readonly room: RoomModel; readonly line: ConnectionInfo }): View => {
  const now = useClock(getState(line) === 'catching_up' ? 200 : 1_000)
  const progress = room.status?.progress
  if (progress) {
    const { messages, at, from, to } = progress
    return html`${connectionText('catchingUpTo', { n: messages, at: Math.max(0, at - from), to: Math.max(0, to - from) })}`
  }
  // The reason of a refusal is shown in place of the messages.
  const text = isRefused(line) ? connectionText('closed') : stateText(line)
  return html`${text}${' '}<span class="countdown">${countdown(getRetryAt(line), now)}</span>`
}

const Fact = ({ name, children }: { readonly name: string; readonly children?: Children }): View =>
  html`<div><dt>${name}</dt><dd class="number">${children}</dd></div>`

const Facts = ({ room, line }: { readonly room: RoomModel; readonly line: ConnectionInfo }): View => {
  useClock(1_000)
  const { status } = room
  const reason = getReason(line)
  const { reset } = line
  return html`
    <dl class="facts">
      <${Fact} name=${connectionText('state')}><${LiveFacts} room=${room} line=${line} /></${Fact}>
      ${reason !== null && hintText(reason) !== '' && html`<${Fact} name=${connectionText('hint')}>${hintText(reason)}</${Fact}>`}
      ${
        status !== null &&
        html`
          <${Fact} name=${connectionText('cursor')}>${status.cursor === null ? '–' : `#${count(status.cursor)}`}</${Fact}>
          <${Fact} name=${connectionText('resumedFrom')}>
            ${status.resumedFrom === null ? connectionText('fresh') : html`<span id="resumed-from">#${status.resumedFrom}</span>`}
          </${Fact}>
          <${Fact} name=${connectionText('heartbeat')}>
            <span id="heartbeat">${status.heartbeatAt === null ? connectionText('none') : clockTime(status.heartbeatAt)}</span>
          </${Fact}>
          <${Fact} name=${connectionText('shared')}>${connectionText(status.connection)}</${Fact}>
        `
      }
      ${
        reset !== null &&
        html`<${Fact} name=${connectionText('reset')}>
          <span id="reset">${connectionText('resetAt', { why: reasonCodeText(reset.reason), time: clockTime(reset.at) })}</span>
        </${Fact}>`
      }
    </dl>
  `
}

/** Once shown, the button stays and is only disabled: if it disappeared under the pointer, a click would be lost. */
const RetryButton = ({ room, isWanted }: { readonly room: RoomModel; readonly isWanted: boolean }): View => {
  const shown = useRef(false)
  shown.current ||= isWanted
  if (!shown.current) return null
  return html`<button
    type="button"
    id="retry"
    aria-disabled=${isWanted ? undefined : 'true'}
    onClick=${() => isWanted && room.retry()}
  >
    ${connectionText('now')}
  </button>`
}

/** Connection status badge; expands to all details. */
export const ConnectionStatus = ({ room }: { readonly room: RoomModel }): View => {
  const line = useSignalValue(room.line)
  const [open, setOpen] = useState(false)
  const state = getState(line)
  return html`
    <details
      class="line"
      id="state"
      data-state=${state}
      open=${open}
      onToggle=${(event: Event) => setOpen((event.currentTarget as HTMLDetailsElement).open)}
      onKeyDown=${(event: KeyboardEvent) => event.key === 'Escape' && setOpen(false)}
    >
      <summary><span class="dot" aria-hidden="true"></span><span class="line-text"><${LiveFacts} room=${room} line=${line} /></span></summary>
      ${
        open &&
        html`<div class="line-facts panel">
          <div class="line-head">
            <h2>${connectionText('connection')}</h2>
            <${RetryButton} room=${room} isWanted=${state === 'waiting' || state === 'closed'} />
          </div>
          <${Facts} room=${room} line=${line} />
        </div>`
      }
    </details>
  `
}

/** Why the room cannot be read, in place of its messages. */
export const Refused = ({ room }: { readonly room: RoomModel }): View => {
  const line = useSignalValue(room.line)
  const reason = getReason(line)
  if (reason === null) return null
  return html`
    <div class="refused" id="refused">
      <h2>${connectionText('refused')}</h2>
      <p>${reasonText(reason)}</p>
      ${hintText(reason) !== '' && html`<p class="faint">${hintText(reason)}</p>`}
      <p class="refused-tools">
        <button type="button" class="small" id="reopen" onClick=${() => room.retry()}>${connectionText('now')}</button>
        ${
          (reason.status === 401 || reason.status === 403) &&
          html`<button type="button" class="small" id="sign-in" onClick=${() => askForToken(reasonText(reason))}>
            ${connectionText('signIn')}
          </button>`
        }
      </p>
    </div>
  `
}

/** Banner above messages or events if the connection is closed, with hint and actions. */
export const DisconnectedBanner = ({ source }: { readonly source: Pick<RoomModel, 'line' | 'retry'> }): View => {
  const line = useSignalValue(source.line)
  const reason = getReason(line)
  if (getState(line) !== 'closed' || reason === null || isRefused(line)) return null
  return html`
    <div class="closed-bar" id="closed">
      <span>${[stateText(line), hintText(reason)].filter(Boolean).join(' · ')}</span>
      <button type="button" class="small" id="reopen" onClick=${() => source.retry()}>${connectionText('now')}</button>
      ${
        reason.status === 401 &&
        html`<button type="button" class="small" id="sign-in" onClick=${() => askForToken(reasonText(reason))}>
          ${connectionText('signIn')}
        </button>`
      }
    </div>
  `
}
