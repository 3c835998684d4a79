import { useEffect, useRef, useState } from 'preact/hooks'
import type { MessageFilter } from './model/filter.ts'
import { filterFromQuery, filterToQuery } from './model/filter-url.ts'
import type { RoomModel } from './model/room.ts'

/** Delay of a change of the address, in milliseconds: browsers limit how many there can be while a search is typed. */
const WRITE_MS = 250

/** The filter of a room, which is also in the address of the page. */
export const useFilter = (room: RoomModel): [MessageFilter, (next: MessageFilter) => void] => {
  const [filter, setShown] = useState<MessageFilter>(room.selection.filter)
  /** The query that is in the address by this hook. */
  const written = useRef(location.search)
  const setFilter = (next: MessageFilter): void => {
    setShown(next)
    room.selection.setFilter(next)
  }
  // A permalink can clear the filter.
  useEffect(() => room.changed.subscribe(() => setShown(room.selection.filter)), [room])
  useEffect(() => {
    const timer = setTimeout(() => {
      const query = filterToQuery(filter)
      written.current = query
      if (query !== location.search) history.replaceState(history.state, '', location.pathname + query + location.hash)
    }, WRITE_MS)
    return () => clearTimeout(timer)
  }, [filter])
  useEffect(() => {
    const { pathname } = location
    const onPopState = (): void => {
      if (location.pathname !== pathname || location.search === written.current) return
      written.current = location.search
      setFilter(filterFromQuery(location.search))
    }
    addEventListener('popstate', onPopState)
    return () => removeEventListener('popstate', onPopState)
  }, [room])
  return [filter, setFilter]
}
