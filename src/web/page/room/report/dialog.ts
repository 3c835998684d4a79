import { useEffect, useRef, useState } from 'preact/hooks'
import { html, type View } from '../../shared/html.ts'
import { roomText } from '../messages.ts'
import { isEverything } from '../model/filter.ts'
import type { RoomModel } from '../model/room.ts'
import { EXPORT_FORMATS, type ExportFormat, exportMessages } from './export.ts'
import { reportText as t } from './messages.ts'
import { usePrintCopy } from './print.ts'

interface ExportDialogProps {
  readonly room: RoomModel
  readonly onNote: (text: string) => void
  readonly onClose: () => void
}

/** The choice between the whole event and the filtered messages, the latter first. */
const Scope = ({
  room,
  isWhole,
  onChoose,
}: {
  readonly room: RoomModel
  readonly isWhole: boolean
  readonly onChoose: (isWhole: boolean) => void
}): View => {
  const { selection, entries } = room
  const choice = (whole: boolean, label: string): View => html`
    <label class="check">
      <input type="radio" name="scope" value=${whole ? 'whole' : 'filtered'} checked=${isWhole === whole} onChange=${() => onChoose(whole)} />
      ${label}
    </label>
  `
  return html`
    <fieldset class="export-scope">
      <legend>${t('which')}</legend>
      ${choice(false, t('filtered', { n: selection.shown.length, m: entries.length }))} ${choice(true, t('whole'))}
    </fieldset>
  `
}

/** Dialog that saves or prints the messages of a room. */
export const ExportDialog = ({ room, onNote, onClose }: ExportDialogProps): View => {
  const dialog = useRef<HTMLDialogElement>(null)
  const isFiltered = !isEverything(room.selection.filter)
  const [isWhole, setWhole] = useState(!isFiltered)
  useEffect(() => dialog.current!.showModal(), [])
  const choose = async (format: ExportFormat): Promise<void> => {
    dialog.current!.close()
    const isDone = await exportMessages(room, format, isWhole, () => onNote(roomText('exportLoading')))
    if (!isDone) onNote(t('failed'))
  }
  return html`
    <dialog id="export-dialog" ref=${dialog} aria-labelledby="export-title" onClose=${onClose}>
      <h2 id="export-title">${t('title')}</h2>
      ${isFiltered && html`<${Scope} room=${room} isWhole=${isWhole} onChoose=${setWhole} />`}
      <ul class="export-formats">
        ${EXPORT_FORMATS.map(
          (format) => html`<li>
            <button type="button" id=${`export-${format}`} aria-describedby=${`why-${format}`} onClick=${() => choose(format)}>
              ${t(format)}
            </button>
            <span class="faint" id=${`why-${format}`}>${t(`${format}Why`)}</span>
          </li>`,
        )}
      </ul>
      <button type="button" class="quiet" onClick=${() => dialog.current!.close()}>${t('cancel')}</button>
    </dialog>
  `
}

/** The export dialog while it is open, and the copy of the room that the browser prints. */
export const Exports = ({ isOpen, ...props }: ExportDialogProps & { readonly isOpen: boolean }): View => {
  usePrintCopy(props.room)
  return isOpen ? html`<${ExportDialog} ...${props} />` : null
}
