import { useEffect, useRef } from 'preact/hooks'

/** Actions by KeyboardEvent.key. */
type Shortcuts = Readonly<Record<string, () => void>>

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.matches('input, textarea, select, dialog *')

/** Handles shortcuts everywhere except in input fields, where only Escape is handled. */
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
