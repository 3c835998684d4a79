import { EMPTY_FILTER, isEverything } from '../room/model/filter.ts'
import { filterToQuery } from '../room/model/filter-url.ts'
import { agentName } from '../room/role-messages.ts'
import { errorText } from '../shared/api.ts'
import { escapeLine } from '../shared/escape-control-chars.ts'
import { fullTime, shortTime } from '../shared/format.ts'
import { type Children, html, type View } from '../shared/html.ts'
import { roomPath } from '../shared/router.ts'
import { searchText as t } from './messages.ts'
import { type FoundMessage, type SearchRequest, type SearchResult, splitIntoTerms, useSearch } from './use-search.ts'

/** Returns a snippet with its matches marked. */
const marked = (snippet: string, query: string): Children[] => {
  const patterns = splitIntoTerms(query).map((term) =>
    term.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&').replace(/\s+/g, '\\s+'),
  )
  // Long ones first, since the first that matches is marked.
  const parts = snippet.split(new RegExp(`(${patterns.sort((a, b) => b.length - a.length).join('|')})`, 'i'))
  return parts.map((part, index) => (index % 2 === 1 ? html`<mark>${escapeLine(part)}</mark>` : escapeLine(part)))
}

interface HitProps {
  readonly hit: FoundMessage
  readonly query: string
  /** It can be in any event, not only in that of the page. */
  readonly withEvent: boolean
}

/** Opens a hit in its room, which marks it. The room searches one text, and not several words in any order. */
const hitPath = ({ event_id, db_id }: FoundMessage, query: string): string => {
  const terms = splitIntoTerms(query)
  const search = terms.length === 1 ? filterToQuery({ ...EMPTY_FILTER, text: terms[0]! }) : ''
  return `${roomPath(event_id)}${search}#${db_id}`
}

/** Opens a hit that has been opened before: its hash does not change. */
const openAgain = ({ currentTarget }: { currentTarget: HTMLAnchorElement }): void => {
  if (currentTarget.href === location.href) dispatchEvent(new HashChangeEvent('hashchange'))
}

const Hit = ({ hit, query, withEvent }: HitProps): View => {
  const at = Date.parse(hit.received_at)
  return html`
    <li class="hit">
      <a href=${withEvent ? hitPath(hit, query) : `#${hit.db_id}`} data-id=${hit.db_id} onClick=${openAgain}>
        ${withEvent && html`<bdi class="hit-event">${escapeLine(hit.event_id)}</bdi>${' '}`}
        <span class="hit-text" dir="auto">${marked(hit.snippet, query)}</span>
      </a>
      <span class="faint">${hit.message_from ? agentName(hit.message_from) : t('noSender')}</span>
      <time class="faint number" datetime=${hit.received_at} title=${fullTime(at)}>${shortTime(at)}</time>
    </li>
  `
}

const describeStatus = ({ is, hits, nextBefore, error }: SearchResult): string => {
  if (is === 'failed') return t('problem', { why: errorText(error) })
  if (is === 'searching') return t('searching')
  if (hits.length === 0) return t(nextBefore === null ? 'none' : 'noneYet')
  return t(nextBefore === null ? 'hits' : 'moreHits', { n: hits.length })
}

/** Returns how the filter of the room applies to the hits; empty if it does not matter. */
const filterNote = ({ filter }: SearchRequest): string => {
  const { attention } = filter
  const isFiltered = !isEverything({ ...filter, text: '', attention: false })
  return [isFiltered ? t('filtered') : '', attention ? t('noAttention') : ''].filter(Boolean).join(' ')
}

type MessageHitsProps = SearchRequest & { readonly children?: Children }

/** The messages that contain a query, newest first, each with a link to it. Nothing if the query is too short. */
export const MessageHits = ({ children, ...search }: MessageHitsProps): View => {
  const [result, more] = useSearch(search)
  if (result === null) return null
  const { is, hits, nextBefore, indexed } = result
  const { query, eventId } = search
  const note = filterNote(search)
  return html`
    <section class="hits" id="hits" aria-labelledby="hits-title" aria-busy=${is === 'searching'}>
      <div class="hits-head">
        <h2 id="hits-title">${t('title', { q: escapeLine(query) })}</h2>
        ${children}
      </div>
      <p class=${is === 'failed' ? 'problem' : 'faint'} id="hits-status" role="status">${describeStatus(result)}</p>
      ${note !== '' && html`<p class="faint" id="hits-filter">${note}</p>`}
      ${indexed < 1 && html`<p class="faint" id="hits-building">${t('building')}</p>`}
      ${
        hits.length > 0 &&
        html`<ol class="hit-list">
          ${hits.map((hit) => html`<${Hit} key=${hit.db_id} hit=${hit} query=${query} withEvent=${eventId === null} />`)}
        </ol>`
      }
      ${
        (is === 'failed' || (is === 'found' && nextBefore !== null)) &&
        html`<p class="more-events">
          <button type="button" id="more-hits" onClick=${more}>${t(is === 'failed' ? 'retry' : 'more')}</button>
        </p>`
      }
    </section>
  `
}
