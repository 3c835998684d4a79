import { useEffect, useRef } from 'preact/hooks'
import { html, type View } from '../shared/html.ts'
import { healthText as t } from './messages.ts'

interface DeleteDialogProps {
  readonly id: number
  /** Called with true to delete the message. */
  readonly onAnswer: (yes: boolean) => void
}

/** Confirms a deletion. Enter and Escape cancel. */
export const DeleteDialog = ({ id, onAnswer }: DeleteDialogProps): View => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current!.showModal()
    dialog.current!.querySelector<HTMLButtonElement>('.cancel')!.focus()
  }, [])
  // Closed before it is unmounted, so that the browser restores the focus.
  const answer = (yes: boolean): void => {
    dialog.current!.close()
    onAnswer(yes)
  }
  return html`
    <dialog ref=${dialog} class="drop-dialog" aria-labelledby="drop-title" onCancel=${() => answer(false)}>
      <h2 id="drop-title">${t('dropTitle', { id: String(id) })}</h2>
      <p>${t('dropWhy')}</p>
      <div class="rejected-actions">
        <button type="button" class="cancel" onClick=${() => answer(false)}>${t('cancel')}</button>
        <button type="button" class="drop" onClick=${() => answer(true)}>${t('dropYes')}</button>
      </div>
    </dialog>
  `
}
