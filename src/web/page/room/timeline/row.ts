import { Component } from 'preact'
import { escapeLine } from '../../shared/escape-control-chars.ts'
import { clockTime, fullTime, shortTime } from '../../shared/format.ts'
import { html, type View } from '../../shared/html.ts'
import { Icon } from '../../shared/icons.ts'
import { parseLosslessJson } from '../../shared/lossless-json.ts'
import { Body } from '../body/body.ts'
import { Json } from '../body/json.ts'
import { roomText as t } from '../messages.ts'
import type { Entry } from '../model/entry.ts'
import { userName } from '../model/user-names.ts'
import { agentName, roleName, typeName } from '../role-messages.ts'

interface MessageRowProps {
  readonly entry: Entry
  readonly jsonShown: boolean
  /** Where a search has found the message, if this cannot be seen in it; otherwise empty. */
  readonly excerpt: string
  /** A row is rendered again if the language changes. */
  readonly language: string
  readonly onAct: (act: RowAct, entry: Entry) => void
}

export type RowAct = 'copy' | 'link' | 'json'

const UUID = /^([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Nickname of a user, or the beginning of its UUID. For other roles the label is enough. */
const Sender = ({ entry: { user } }: { readonly entry: Entry }): View => {
  if (user === null) return null
  const name = userName(user)
  if (name === '') return null
  const short = UUID.exec(name)?.[1]
  const title = user.userId === '' || (short === undefined && name === user.userId) ? null : escapeLine(user.userId)
  return html`<bdi class="from" title=${title}>${short === undefined ? agentName(name) : `${short}…`}</bdi>`
}

const Tools = ({ entry, jsonShown, onAct }: MessageRowProps): View => {
  const tool = (act: RowAct, icon: string, label: string): View =>
    html`<button type="button" class="quiet tool" aria-label=${label} title=${label} onClick=${() => onAct(act, entry)}>
      <${Icon} name=${icon} />
    </button>`
  return html`
    <div class="tools">
      ${tool('json', 'braces', t(jsonShown ? 'hideJson' : 'allJson'))} ${tool('copy', 'copy', t('copy'))}
      ${tool('link', 'link', t('link'))}
    </div>
  `
}

/** A smaller difference between a message's own time and its receipt is not shown, in milliseconds. */
const SAME_TIME_MS = 10_000
const DAY_MS = 86_400_000

/** The time of the message, and that of its receipt if it differs. */
const Time = ({ entry: { at, receivedAt } }: { readonly entry: Entry }): View => {
  if (Number.isNaN(at)) return null
  const time = html`<time class="number" datetime=${new Date(at).toISOString()} title=${fullTime(at)}>${clockTime(at)}</time>`
  const delay = Math.abs(receivedAt - at)
  if (!(delay >= SAME_TIME_MS)) return time
  const receipt = delay < DAY_MS ? clockTime(receivedAt) : shortTime(receivedAt)
  return html`${time}<span class="receipt number" title=${fullTime(receivedAt)}>${t('receivedAt', { time: receipt })}</span>`
}

/** One message. Rendered again only if its props have changed. */
export class MessageRow extends Component<MessageRowProps> {
  override shouldComponentUpdate(next: MessageRowProps): boolean {
    return (['entry', 'jsonShown', 'excerpt', 'language', 'onAct'] as const).some(
      (key) => this.props[key] !== next[key],
    )
  }

  override render(): View {
    const { entry, jsonShown, excerpt } = this.props
    const { id, role, type, tone, answer } = entry
    return html`
      <span class="avatar" aria-hidden="true"><${Icon} name=${role} /></span>
      <div class="message">
        <div class="meta" id=${`m${id}`}>
          <span class="role">${roleName(role)}</span>
          <${Sender} entry=${entry} />
          ${
            (tone === 'error' || tone === 'warning') &&
            html`<span class="mark"><${Icon} name="warn" />${t(tone)}</span>`
          }
          ${type !== '' && html`<bdi class="type" title=${escapeLine(type)}>${typeName(type, answer)}</bdi>`}
          <span class="where">
            <${Tools} ...${this.props} />
            <a class="id number" href=${`#${id}`} aria-label=${t('linkTo', { n: String(id) })}>#${id}</a>
            <${Time} entry=${entry} />
          </span>
        </div>
        <div class="body"><${Body} entry=${entry} /></div>
        ${excerpt !== '' && html`<p class="excerpt">${t('foundHidden')} <code>${escapeLine(excerpt)}</code></p>`}
        ${jsonShown && html`<div class="whole"><${Json} value=${parseLosslessJson(entry.raw)} /></div>`}
      </div>
    `
  }
}
