import { useState } from 'preact/hooks'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { count } from '../shared/format.ts'
import { type Children, html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { useSignalValue } from '../shared/signal.ts'
import { roomText as t } from './messages.ts'
import { EMPTY_FILTER, isEverything, type MessageFilter, toggled } from './model/filter.ts'
import { ROLES } from './model/roles.ts'
import type { RoomModel } from './model/room.ts'
import { roleName, typeName } from './role-messages.ts'

interface RailProps {
  readonly room: RoomModel
  readonly filter: MessageFilter
  readonly onFilter: (next: MessageFilter) => void
  readonly onRound: (round: number) => void
  readonly onClose: () => void
  /** Shown in front of all parts. */
  readonly children?: Children
}

/** Maximum number of listed types; more are not expected from well-behaved publishers. */
const MAX_TYPES = 60
/** Number of rounds listed at once, the last ones first. */
const MAX_ROUNDS = 50

const Part = ({ title, children }: { readonly title: string; readonly children?: Children }): View =>
  html`<section class="part"><h2>${title}</h2>${children}</section>`

interface ChoiceProps {
  readonly on: boolean
  readonly label: string
  readonly hint?: string
  readonly number: number
  readonly role?: string
  readonly onClick: () => void
}

const Choice = ({ on, label, hint, number, role, onClick }: ChoiceProps): View => html`
  <li>
    <button type="button" class="choice" data-role=${role ?? null} aria-pressed=${on} title=${hint ?? null} onClick=${onClick}>
      ${role !== undefined && html`<span class="swatch" aria-hidden="true"></span>`}
      <bdi class="choice-label">${label}</bdi>
      <span class="number faint">${count(number)}</span>
    </button>
  </li>
`

const Rounds = ({ room, onRound }: Pick<RailProps, 'room' | 'onRound'>): View => {
  const [most, setMost] = useState(MAX_ROUNDS)
  const all = [...room.tally.rounds.values()].sort((a, b) => a.round - b.round)
  const known = all.slice(-most)
  const first = known[0]?.round ?? 1
  // Rounds are numbered from one, so the rounds before the first loaded one exist.
  const isBegin = room.history.get().is === 'whole' || known.length < all.length
  const before = isBegin ? 0 : Math.min(Math.max(0, first - 1), MAX_ROUNDS)
  const earlier = Array.from({ length: before }, (_, index) => first - before + index)
  if (known.length === 0) return html`<p class="faint">${t('noRounds')}</p>`
  return html`
    ${
      known.length < all.length &&
      html`<button type="button" class="quiet more" onClick=${() => setMost(most + MAX_ROUNDS)}>
        ${t('moreItems', { n: all.length - known.length })}
      </button>`
    }
    <ol class="rounds">
      ${earlier.map(
        (round) => html`<li>
          <button type="button" class="choice faint" onClick=${() => onRound(round)}>
            <span class="choice-label">${t('round', { n: round })}</span><span>${t('roundNotLoaded')}</span>
          </button>
        </li>`,
      )}
      ${known.map(
        ({ round, messages, errors }) => html`<li>
          <button type="button" class="choice" data-round=${round} onClick=${() => onRound(round)}>
            <span class="choice-label">${t('round', { n: round })}</span>
            ${errors > 0 && html`<span class="errors" title=${t('roundErrors', { n: errors })}><${Icon} name="warn" />${errors}</span>`}
            <span class="number faint">${count(messages)}</span>
          </button>
        </li>`,
      )}
    </ol>
  `
}

const localText = (ms: number | null): string => {
  if (ms === null) return ''
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

const Period = ({ filter, onFilter }: Pick<RailProps, 'filter' | 'onFilter'>): View => {
  const field = (name: 'from' | 'to', label: string): View => html`
    <label class="period">
      <span>${label}</span>
      <input
        type="datetime-local"
        value=${localText(filter[name])}
        onChange=${({ currentTarget }: { currentTarget: HTMLInputElement }) => {
          const at = new Date(currentTarget.value).getTime()
          onFilter({ ...filter, [name]: Number.isNaN(at) ? null : at })
        }}
      />
    </label>
  `
  return html`${field('from', t('from'))}${field('to', t('to'))}`
}

/** List of rounds, and filters by role, type and time. */
export const Sidebar = ({ room, filter, onFilter, onRound, onClose, children }: RailProps): View => {
  useSignalValue(room.changed)
  useSignalValue(room.history)
  const [all, setAll] = useState(false)
  const { roles, types } = room.tally
  const byCount = [...types].sort((a, b) => b[1] - a[1]).slice(0, MAX_TYPES)
  const listed = all ? byCount : byCount.filter(([type], index) => index < 8 || filter.types.has(type))
  return html`
    <div class="rail-head">
      <h2>${t('filters')}</h2>
      <button type="button" class="quiet square" aria-label=${t('closeFilters')} onClick=${onClose}><${Icon} name="close" /></button>
    </div>
    ${!isEverything(filter) && html`<button type="button" id="clear" onClick=${() => onFilter(EMPTY_FILTER)}>${t('clear')}</button>`}
    ${children}
    <${Part} title=${t('rounds')}><${Rounds} room=${room} onRound=${onRound} /></${Part}>
    <${Part} title=${t('roles')}>
      <ul id="roles">
        ${ROLES.filter((role) => roles.has(role) || filter.roles.has(role)).map(
          (role) =>
            html`<${Choice}
              key=${role}
              on=${filter.roles.has(role)}
              label=${roleName(role)}
              number=${roles.get(role) ?? 0}
              role=${role}
              onClick=${() => onFilter({ ...filter, roles: toggled(filter.roles, role) })}
            />`,
        )}
      </ul>
    </${Part}>
    <${Part} title=${t('types')}>
      <ul id="types">
        ${listed.map(
          ([type, number]) =>
            html`<${Choice}
              key=${type}
              on=${filter.types.has(type)}
              label=${type === '' ? t('noType') : typeName(type)}
              hint=${escapeLine(type)}
              number=${number}
              onClick=${() => onFilter({ ...filter, types: toggled(filter.types, type) })}
            />`,
        )}
      </ul>
      ${
        byCount.length > listed.length &&
        html`<button type="button" class="quiet more" onClick=${() => setAll(true)}>
          ${t('moreItems', { n: byCount.length - listed.length })}
        </button>`
      }
    </${Part}>
    <${Part} title=${t('period')}><${Period} filter=${filter} onFilter=${onFilter} /></${Part}>
  `
}
