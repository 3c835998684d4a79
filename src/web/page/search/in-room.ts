import { useEffect, useState } from 'preact/hooks'
import type { MessageFilter } from '../room/model/filter.ts'
import type { RoomModel } from '../room/model/room.ts'
import { html, type View } from '../shared/html.ts'
import { Icon } from '../shared/icons.ts'
import { useSignalValue } from '../shared/signal.ts'
import { MessageHits } from './hits.ts'
import { searchText as t } from './messages.ts'
import { isSearchable } from './use-search.ts'

interface SearchBeyondProps {
  readonly room: RoomModel
  /** Filter of the room, which covers the loaded messages only. */
  readonly filter: MessageFilter
}

/** Offers to search all messages of the event while not all of them are loaded, and lists the hits. */
export const SearchBeyond = ({ room, filter }: SearchBeyondProps): View => {
  const { is } = useSignalValue(room.history)
  const [isOpen, open] = useState(false)
  const query = filter.text.trim()
  useEffect(() => open(false), [query === ''])
  if (!isSearchable(query) || (is === 'whole' && !isOpen)) return null
  if (!isOpen) {
    return html`<p class="beyond">
      <button type="button" class="small" id="search-beyond" onClick=${() => open(true)}>${t('inEvent')}</button>
    </p>`
  }
  return html`
    <div class="beyond">
      <${MessageHits} query=${query} eventId=${room.eventId} filter=${filter}>
        <button type="button" class="quiet square" aria-label=${t('close')} onClick=${() => open(false)}><${Icon} name="close" /></button>
      </${MessageHits}>
    </div>
  `
}
