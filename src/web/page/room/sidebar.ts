import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { count } from '../shared/format.ts'
import { type Children, html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { useSignalValue } from '../shared/signal.ts'
import { load, save } from '../shared/storage.ts'
import { roomText as t } from './messages.ts'
import { EMPTY_FILTER, isEverything, type MessageFilter, toggled } from './model/filter.ts'
import { ROLES } from './model/roles.ts'
import type { RoomModel } from './model/room.ts'
import { roleName, typeName } from './role-messages.ts'

interface SidebarProps {
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

interface PartProps {
  readonly name: string
  readonly title: string
  readonly children?: Children
}

/** A section that can be collapsed; the browser remembers it. */
const Part = ({ name, title, children }: PartProps): View => {
  const key = `collapsed ${name}`
  const [open, setOpen] = useState(load(key) === null)
  const onToggle = ({ currentTarget }: { currentTarget: HTMLDetailsElement }): void => {
    setOpen(currentTarget.open)
    save(key, currentTarget.open ? null : 'yes')
  }
  return html`
    <details class="part" open=${open} onToggle=${onToggle}>
      <summary><h2>${title}</h2></summary>
      ${children}
    </details>
  `
}

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

/**
 * Returns rounds that exist but are not loaded, MAX_ROUNDS at most: rounds are numbered from one. Pure.
 *
 * @param known ascending
 * @param hasGaps rounds between the known ones can be missing too
 */
const missingRounds = (known: readonly number[], hasGaps: boolean): number[] => {
  const missing: number[] = []
  for (const [index, round] of known.entries()) {
    if (index > 0 && !hasGaps) break
    const from = Math.max(1, (known[index - 1] ?? 0) + 1, round - MAX_ROUNDS)
    for (let next = from; next < round; next++) missing.push(next)
  }
  return missing.slice(-MAX_ROUNDS)
}

const Rounds = ({ room, onRound }: Pick<SidebarProps, 'room' | 'onRound'>): View => {
  const [max, setMax] = useState(MAX_ROUNDS)
  const list = useRef<HTMLOListElement>(null)
  const all = [...room.tally.rounds.values()].sort((a, b) => a.round - b.round)
  const known = all.slice(-max)
  const isBegin = room.history.get().is === 'whole' || known.length < all.length
  const missing = isBegin
    ? []
    : missingRounds(
        known.map(({ round }) => round),
        room.gaps.length > 0,
      )
  const rows = [...known, ...missing.map((round) => ({ round, messages: null, errors: 0 }))]
  rows.sort((a, b) => a.round - b.round)
  // The newest rounds matter most; the list scrolls by itself.
  useLayoutEffect(() => list.current?.scrollTo(0, list.current.scrollHeight), [all.at(-1)?.round])
  if (known.length === 0) return html`<p class="faint">${t('noRounds')}</p>`
  return html`
    ${
      known.length < all.length &&
      html`<button type="button" class="quiet more" onClick=${() => setMax(max + MAX_ROUNDS)}>
        ${t('moreItems', { n: all.length - known.length })}
      </button>`
    }
    <ol class="rounds" ref=${list}>
      ${rows.map(
        ({ round, messages, errors }) => html`<li key=${round}>
          <button
            type="button"
            class=${messages === null ? 'choice faint' : 'choice'}
            data-round=${messages === null ? null : round}
            onClick=${() => onRound(round)}
          >
            <span class="choice-label">${t('round', { n: round })}</span>
            ${errors > 0 && html`<span class="errors" title=${t('roundErrors', { n: errors })}><${Icon} name="warn" />${errors}</span>`}
            ${messages === null ? html`<span>${t('roundNotLoaded')}</span>` : html`<span class="number faint">${count(messages)}</span>`}
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

const Period = ({ filter, onFilter }: Pick<SidebarProps, 'filter' | 'onFilter'>): View => {
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
export const Sidebar = ({ room, filter, onFilter, onRound, onClose, children }: SidebarProps): View => {
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
    <${Part} name="rounds" title=${t('rounds')}><${Rounds} room=${room} onRound=${onRound} /></${Part}>
    <${Part} name="roles" title=${t('roles')}>
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
    <${Part} name="types" title=${t('types')}>
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
    <${Part} name="period" title=${t('period')}><${Period} filter=${filter} onFilter=${onFilter} /></${Part}>
  `
}
