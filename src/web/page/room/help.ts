import { useEffect, useRef } from 'preact/hooks'
import { html, type View } from '../shared/html.ts'
import { roomText as t } from './messages.ts'

const KEYS = [
  [['j', 'k'], 'keyMove'],
  [[']', '['], 'keyRounds'],
  [['g', 'G'], 'keyEnds'],
  [['/'], 'keySearch'],
  [['Enter', 'Shift+Enter'], 'keyHits'],
  [['f'], 'keyFilters'],
  [['x'], 'keyJson'],
  [['c'], 'keyCopy'],
  [['l'], 'keyLink'],
  [['n'], 'keyWrite'],
  [['Esc'], 'keyEscape'],
  [['?'], 'keyHelp'],
] as const

/** Dialog with the keyboard shortcuts. */
export const Help = ({ onClose }: { readonly onClose: () => void }): View => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current!.showModal(), [])
  return html`
    <dialog id="help" ref=${dialog} aria-labelledby="help-title" onClose=${onClose}>
      <h2 id="help-title">${t('helpTitle')}</h2>
      <dl class="keys">
        ${KEYS.map(
          ([keys, text]) => html`<div><dt>${keys.map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${t(text)}</dd></div>`,
        )}
      </dl>
      <button type="button" class="primary" onClick=${() => dialog.current!.close()}>${t('helpClose')}</button>
    </dialog>
  `
}
