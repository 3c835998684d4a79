import { useEffect, useRef } from 'preact/hooks'

/** What keys do, by what KeyboardEvent calls them. */
type Shortcuts = Readonly<Record<string, () => void>>

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.matches('input, textarea, select, dialog *')

/** Acts on keys wherever the focus is, but for where one types. Escape leaves those. */
export const useShortcuts = (keys: Shortcuts): void => {
  const now = useRef(keys)
  now.current = keys
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return
      if (isTyping(event.target) && event.key !== 'Escape') return
      if (document.querySelector('dialog[open]') !== null) return
      const act = Object.hasOwn(now.current, event.key) ? now.current[event.key] : undefined
      if (act === undefined) return
      event.preventDefault()
      act()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])
}
